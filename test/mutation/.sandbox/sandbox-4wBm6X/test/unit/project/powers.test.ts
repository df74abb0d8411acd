// @ts-nocheck
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";

const SRC = resolve(import.meta.dirname, "../../../src");

/** What src/system is for: files, programs and the network. */
const POWERS = ["fs", "fs/promises", "child_process", "net", "tls", "dgram", "dns", "dns/promises", "inspector"];

/** Who has one beside src/system, and why. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  "main.ts fs": "an entry point: the version stands in package.json, which is read before there is a system",
  "cli/terminal.ts fs": "the terminal is a door of its own: /dev/tty, and writes to stderr that wait for nobody",
  "agent/key-socket.ts net": "a listening socket is no power to be handed around: the agent's own door",
  "server/http/server.ts net": "the machines' door",
};

/** Programs whose answers the port gives: nobody runs them. */
const NEEDLESS_PROGRAMS = ["find", "df", "readlink", "realpath", "stat", "cat", "ls"];

/**
 * The powers that a file's text imports, whichever way: a type is none, nor is a function that only
 * computes.
 */
function powersIn(text: string): string[] {
  const wide = text.replace(/^import type [^;]*;$/gm, "").replace(/^import \{ isIP \} from "node:net";$/gm, "");
  const named = wide.matchAll(/(?:from|import|import\(|require\(|getBuiltinModule\()\s*"(?:node:)?([a-z_/]+)"/g);
  return [...new Set([...named].map(([, name = ""]) => name))].filter((name) => POWERS.includes(name));
}

function programsIn(text: string): string[] {
  return [...text.matchAll(/\[\s*"([a-z-]+)",/g)].map(([, program = ""]) => program);
}

function files(): { readonly file: string; readonly text: string }[] {
  return readdirSync(SRC, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.startsWith("system/"))
    .map((file) => ({ file, text: readFileSync(join(SRC, file), "utf8") }));
}

test("files, programs and the network are reached through src/system alone", () => {
  const found = files().flatMap(({ file, text }) => powersIn(text).map((power) => `${file} ${power}`));
  assert.deepEqual(found.sort(), Object.keys(EXCEPTIONS).sort());
});

test("no program is run for what the port tells", () => {
  // What GRUB's own language and this machine's initramfs have by these names is no program of
  // ours.
  const found = files()
    .filter(({ file }) => !file.startsWith("formats/"))
    .filter(({ text }) => programsIn(text).some((program) => NEEDLESS_PROGRAMS.includes(program)));
  assert.deepEqual(
    found.map(({ file }) => file),
    [],
  );
});

test("this test sees every way to have a power, and takes no type for one", () => {
  const one = (text: string) => powersIn(text).join();
  assert.equal(one('import { lstatSync } from "node:fs";'), "fs");
  assert.equal(one('import { lstatSync, type Stats } from "fs";'), "fs");
  assert.equal(one('import {\n  open,\n  rm,\n} from "node:fs/promises";'), "fs/promises");
  assert.equal(one('import * as fs from "node:fs";'), "fs");
  assert.equal(one('import "node:child_process";'), "child_process");
  assert.equal(one('const { connect } = await import("node:tls");'), "tls");
  assert.equal(one('process.getBuiltinModule("node:inspector")'), "inspector");
  assert.equal(one('export { createServer } from "node:net";'), "net");
  assert.equal(one('import { connect, isIP } from "node:net";'), "net");
  assert.equal(one('import { isIP } from "node:net";'), "");
  assert.equal(one('import type { Socket } from "node:net";'), "");
  assert.equal(one('import type {\n  Server,\n  Socket,\n} from "node:net";'), "");
  assert.equal(one('import { createHash } from "node:crypto";'), "");
  assert.deepEqual(programsIn('power.run({ argv: ["readlink", "-e", "--", path] })'), ["readlink"]);
  assert.deepEqual(programsIn('programOutput(power, ["df", "--output=avail"])'), ["df"]);
});
