import assert from "node:assert/strict";
import type { Console } from "./console.ts";
import { PASSPHRASE } from "./encrypted-root.ts";

/** How cryptsetup-initramfs, and systemd, ask at the console. */
export const PROMPT = /(?:Please unlock disk \w+|Please enter passphrase for disk [^\n]*): ?/;
const PROMPT_OR_LOGIN = new RegExp(`${PROMPT.source}|(?=login: )`);
const DEADLINE_MS = 900_000;

/**
 * Answers the questions of one boot up to its login prompt, which the caller has to wait for: the
 * next boot's is looked for behind it. How many there are is the boot's affair: systemd asks for
 * two volumes at once, or takes for the second what was typed for the first.
 */
export async function typePassphrase(console: Console): Promise<void> {
  for (let count = 0; ; count++) {
    const [asked] = await console.waitFor(PROMPT_OR_LOGIN, DEADLINE_MS);
    if (asked === "") {
      assert.notEqual(count, 0, "the boot asked for no passphrase");
      return;
    }
    console.type(`${PASSPHRASE}\n`);
  }
}
