/**
 * What the tests of binding to a latch work on: volumes in image files, a passphrase in a file, and
 * a server of ours.
 */
// @ts-nocheck

import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before } from "node:test";
import { makeState } from "./luks-change.ts";
import { type Served, serve } from "./serve.ts";
import { makeFolder, makeVolume, PASSPHRASE } from "./volumes.ts";

export const COMMAND = resolve(import.meta.dirname, "../../bin/nightlatch");
export const folder = makeFolder();
export const keyFile = join(folder, "passphrase");
writeFileSync(keyFile, PASSPHRASE);

export const keyArgs = (state: string) => ["--key-file", keyFile, "--state", state];
export const SMALL = { luks1: [], luks2: ["--luks2-keyslots-size", "2m"] };

let made = 0;

export function makeImage(type: "luks1" | "luks2"): { image: string; state: string } {
  return { image: makeVolume(folder, `v${made++}.img`, type, SMALL[type], 4), state: makeState(folder) };
}

/** A server for as long as a file's tests run. */
export function served(): () => Served {
  let server: Served;
  before(async () => {
    server = await serve();
  });
  after(() => server[Symbol.asyncDispose]());
  return () => server;
}

/** The line to paste on a machine. */
export async function inviteAt(server: Served, name = `machine-${made++}`): Promise<string> {
  return String((await server.json("machine", "invite", name))["invite"]);
}
