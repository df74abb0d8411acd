import type { Command } from "./command.ts";

/** Commands by name. Loaded when called: the key socket's cold start pays for what it loads. */
export const COMMANDS: Readonly<Record<string, () => Promise<{ command: Command }>>> = {
  reboot: () => import("./reboot.ts"),
};
