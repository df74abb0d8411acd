/** See script/demo. Ends with exit status 0 only if every step did what its line says. */
// @ts-nocheck

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fetchKey } from "./key-client.ts";

const NIGHTLATCH = resolve(import.meta.dirname, "../bin/nightlatch");
const DEADLINE_MS = 60_000;
const folder = mkdtempSync(join(tmpdir(), "nightlatch-demo-"));
const at = (name: string): string => join(folder, name);
const children: ChildProcess[] = [];
const passphrase = randomBytes(18).toString("base64");

let started = performance.now();
function done(what: string): void {
  const now = performance.now();
  console.log(`${((now - started) / 1000).toFixed(2).padStart(6)} s  ${what}`);
  started = now;
}

/** Runs to its end; a status that differs from `expected` ends the demo. */
function run(program: string, args: readonly string[], stdin = "", expected = 0): string {
  try {
    const text = execFileSync(program, args, { input: stdin, encoding: "utf8", stdio: "pipe", timeout: DEADLINE_MS });
    if (expected !== 0) throw new Error(`${args.join(" ")} succeeded; it should have ended with ${expected}`);
    return text;
  } catch (error) {
    const failure = error as { status?: number; stderr?: string; message: string };
    if (failure.status === expected && expected !== 0) return String(failure.stderr);
    throw new Error(`${program} ${args.join(" ")}: ${failure.stderr || failure.message}`);
  }
}

const nightlatch = (...args: string[]): string => run(NIGHTLATCH, args);
const admin = ["--admin", at("admin.sock")];

function start(...args: string[]): ChildProcess {
  const child = spawn(NIGHTLATCH, args, { stdio: ["ignore", "ignore", "pipe"] });
  child.stderr?.on("data", (chunk: Buffer) => log.push(chunk));
  children.push(child);
  return child;
}
const log: Buffer[] = [];

/** Asks a child to stop, waits until it has, and kills it when it does not. */
async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill();
  const impatience = setTimeout(() => child.kill("SIGKILL"), DEADLINE_MS);
  await gone;
  clearTimeout(impatience);
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const endMs = performance.now() + DEADLINE_MS;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`${what} did not come about`);
    await new Promise((wake) => setTimeout(wake, 20));
  }
}

/** A port that was free a moment ago. */
function freePort(): Promise<number> {
  return new Promise((found) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => found(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** What systemd-cryptsetup does at boot: asks the socket for the volume's key, and tries it. */
async function bootOpens(): Promise<boolean> {
  const key = await fetchKey({ socket: at("key.sock"), volume: "backup" });
  if (key.length === 0) return false;
  run("cryptsetup", ["open", "--test-passphrase", "--key-file=-", at("disk.img")], key.toString("latin1"));
  key.fill(0);
  return true;
}

async function demo(): Promise<void> {
  const port = await freePort();
  start("serve", "--data", at("server"), "--listen", `127.0.0.1:${port}`, ...admin);
  await until("the key server", () => existsSync(at("admin.sock")));
  done(`a key server on 127.0.0.1:${port}, with a store of its own`);

  writeFileSync(at("disk.img"), "");
  truncateSync(at("disk.img"), 64 << 20);
  run(
    "cryptsetup",
    ["luksFormat", "-q", "--type", "luks2", "--iter-time", "200", "--key-file=-", at("disk.img")],
    passphrase,
  );
  done("a LUKS2 volume in an image file, with a passphrase");

  const invite = (
    JSON.parse(nightlatch("machine", "invite", "nas", "--expires", "1h", ...admin, "--json")) as { invite: string }
  ).invite;
  done("the server invited a machine named nas");

  run(NIGHTLATCH, ["bind", at("disk.img"), "latch", invite, "--key-file", "-", "--state", at("machine")], passphrase);
  done("the volume is bound to a latch on the server");
  console.log(nightlatch("status", at("disk.img"), "--state", at("machine")).replace(/^/gm, "            "));

  writeFileSync(at("crypttab"), `backup ${at("disk.img")} ${at("key.sock")} luks,_netdev,nofail\n`);
  start("agent", "--socket", at("key.sock"), "--crypttab", at("crypttab"), "--state", at("machine"));
  await until("the agent's socket", () => existsSync(at("key.sock")));
  done("the agent listens on its key socket");

  if (!(await bootOpens())) throw new Error("the agent gave no key");
  done("boot: the key came through the socket, and opens the volume");

  nightlatch("machine", "lock", "nas", ...admin);
  if (await bootOpens()) throw new Error("a locked machine got its key");
  done("lock:   the key is refused, systemd would ask for the passphrase");

  nightlatch("machine", "unlock", "nas", ...admin);
  if (!(await bootOpens())) throw new Error("an unlocked machine got no key");
  done("unlock: it opens again");

  nightlatch("machine", "revoke", "nas", "--yes", ...admin);
  if (await bootOpens()) throw new Error("a revoked machine got its key");
  done("revoke: refused for good; the server's half of the key is destroyed");

  run("cryptsetup", ["open", "--test-passphrase", "--key-file=-", at("disk.img")], passphrase);
  done("the passphrase opens the volume as it always did");

  nightlatch("audit", "verify", ...admin);
  done("the audit log is whole: every release, refusal and order is in it");
}

let verdict = 0;
try {
  console.log("Nightlatch demo\n");
  await demo();
  console.log("\nAll steps did what they say: the disk opens by itself, until its owner says no.");
} catch (error) {
  verdict = 1;
  console.log(`\nFAILED: ${(error as Error).message}\n${Buffer.concat(log).toString()}`);
} finally {
  // A server that is about to stop still writes in its store.
  await Promise.all(children.map(ended));
  rmSync(folder, { recursive: true, force: true });
}
process.exit(verdict);
