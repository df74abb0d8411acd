import type { Command } from "./command.ts";

/** Commands by name. Loaded when called: the key socket's cold start pays for what it loads. */
export const COMMANDS: Readonly<Record<string, () => Promise<{ command: Command }>>> = {
  reboot: () => import("./reboot.ts"),
  "oneshot arm": () => import("./oneshot-arm.ts"),
  "oneshot disarm": () => import("./oneshot-disarm.ts"),
  "oneshot status": () => import("./oneshot-status.ts"),
  bind: () => import("./bind.ts"),
  unbind: () => import("./unbind.ts"),
  accept: () => import("./accept.ts"),
  status: () => import("./status.ts"),
  unlock: () => import("./unlock.ts"),
  crypttab: () => import("./crypttab.ts"),
  check: () => import("./check.ts"),
  agent: () => import("./agent.ts"),
  serve: () => import("./serve.ts"),
  "machine invite": () => import("./machine-invite.ts"),
  "machine uninvite": () => import("./machine-uninvite.ts"),
  "machine list": () => import("./machine-list.ts"),
  "machine show": () => import("./machine-show.ts"),
  "machine lock": () => import("./machine-lock.ts"),
  "machine unlock": () => import("./machine-unlock.ts"),
  "machine revoke": () => import("./machine-revoke.ts"),
  "audit tail": () => import("./audit-tail.ts"),
  "store seal": () => import("./store-seal.ts"),
  "audit verify": () => import("./audit-verify.ts"),
};
