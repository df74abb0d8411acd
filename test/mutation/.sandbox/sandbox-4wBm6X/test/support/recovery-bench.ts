/** What the tests of recovery keys work on: volumes in image files, a person with a terminal. */
// @ts-nocheck

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { makeState } from "./luks-change.ts";
import type { Person } from "./terminal.ts";
import { addSlot, makeFolder, makeVolume, PASSPHRASE } from "./volumes.ts";

export const folder = makeFolder();
const template = makeVolume(folder, "template.img", "luks2", ["--luks2-keyslots-size", "2m"], 4);
addSlot(template, "second", ["--key-slot", "2"]);

let made = 0;

/** A volume with a passphrase in keyslot 0 and another in 2, and a state folder. */
export function makeImage(): { readonly image: string; readonly state: string } {
  const image = join(folder, `v${made++}.img`);
  copyFileSync(template, image);
  return { image, state: makeState(folder) };
}

/** What there is on a screen of a key. */
export function keyOn(shown: Buffer): string {
  const [key] = /(?:[a-z]{8}-){7}[a-z]{8}/.exec(shown.toString()) ?? [];
  assert.ok(key !== undefined, "no key was shown");
  return key;
}

/**
 * A person at a terminal who types the passphrase, and types back what was seen.
 * @param spoil makes each of the keys that are typed back, by what was seen
 */
export function writer(spoil: readonly ((key: string) => string)[] = [(key) => key]): Person & { keys: string[] } {
  const keys: string[] = [];
  const passphrase = [PASSPHRASE];
  const sees = (shown: Buffer) => {
    const key = keyOn(shown);
    if (keys.length === 0) passphrase.push(...spoil.map((typed) => typed(key)));
    keys.push(key);
  };
  return { keys, passphrase, agrees: true, sees };
}

/** Runs systemd-cryptenroll as a person would. */
export function cryptenroll(image: string, ...args: readonly string[]): string {
  const env = { ...process.env, PASSWORD: PASSPHRASE };
  const { status, stdout, stderr } = spawnSync("systemd-cryptenroll", [...args, image], { env, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout;
}

/** Keyslots by their number, as systemd-cryptenroll names them: `0 password`. */
export function enrolled(image: string): readonly string[] {
  const [, ...rows] = cryptenroll(image).trimEnd().split("\n");
  return rows.map((row) => row.trim().replace(/\s+/g, " "));
}
