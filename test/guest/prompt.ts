import type { Console } from "./console.ts";
import { PASSPHRASE } from "./encrypted-root.ts";

/** How cryptsetup-initramfs, and systemd, ask at the console. */
export const PROMPT = /(?:Please unlock disk \w+|Please enter passphrase for disk [^\n]*): ?/;
const DEADLINE_MS = 900_000;

/** Answers the questions of one boot: the root's, the swap's and the data volume's. */
export async function typePassphrase(console: Console, prompts = 3): Promise<void> {
  for (let count = 0; count < prompts; count++) {
    await console.waitFor(PROMPT, DEADLINE_MS);
    console.type(`${PASSPHRASE}\n`);
  }
}
