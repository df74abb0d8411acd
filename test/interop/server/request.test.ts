/** Stock clevis, which asks again and again as it does in an initramfs, until operators approve. */
import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmodSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { nightlatch, type Served, serve } from "../../support/serve.ts";
import { enrolAt } from "../../support/server/client.ts";

const GROUP = 64999;
const [FIRST, SECOND] = [61_001, 61_002];

const isMissing = (program: string, ...args: string[]) => spawnSync(program, args).status !== 0;
const skip =
  spawnSync("clevis", ["--help"]).error !== undefined
    ? "clevis is not installed"
    : isMissing("setpriv", "--reuid", String(FIRST), "--clear-groups", "true") || isMissing("unshare", "-m", "true")
      ? "other users cannot be taken on here (not root?)"
      : false;

/** Asks the server as this user or, through setpriv, as another. Commands of ours start slowly. */
function curl(
  server: Served,
  path: string,
  wish: readonly string[] = [],
  through: readonly string[] = [],
): Promise<unknown> {
  const url = `http://x/api/v1/${path}`;
  const [program = "", ...args] = [...through, "curl", "-s", "--unix-socket", server.admin, ...wish, url];
  return new Promise((resolve, reject) => {
    execFile(program, args, (error, stdout) => {
      if (error === null) resolve(JSON.parse(stdout));
      else reject(error);
    });
  });
}

/** What a user of the operators' group says of a request. */
async function voteAs(uid: number, server: Served, path: string): Promise<Record<string, unknown>> {
  const user = ["setpriv", "--reuid", String(uid), "--regid", String(uid), "--groups", String(GROUP)];
  return (await curl(server, `requests/${path}`, ["-X", "POST"], user)) as Record<string, unknown>;
}

/** What clevis-luks-askpass does: it tries until the key is there. */
function insist(sealed: string) {
  const loop = 'sealed=$(cat); until printf %s "$sealed" | clevis decrypt 2>/dev/null; do sleep 1; done';
  const child = spawn("bash", ["-c", loop], { stdio: ["pipe", "pipe", "inherit"], detached: true });
  child.stdin.end(sealed);
  let opened = "";
  child.stdout.on("data", (chunk: Buffer) => {
    opened += String(chunk);
  });
  const closed = once(child, "close");
  return {
    opened: () => opened,
    end: async () => {
      await closed;
      return opened;
    },
    [Symbol.dispose]: () => {
      if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid);
    },
  };
}

/** A program that a server tells of what waits, and what it was told. */
async function receiver() {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-hook-"));
  const key = join(folder, "key");
  writeFileSync(key, randomBytes(32).toString("base64"), { mode: 0o600 });
  const types: string[] = [];
  const hook = createServer((request, response) => {
    request.on("data", (chunk: Buffer) => types.push((JSON.parse(String(chunk)) as { type: string }).type));
    request.on("end", () => response.writeHead(204).end());
  });
  await once(hook.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`,
    key,
    types: async (count: number) => {
      while (types.length < count) await setTimeout(100);
      return types;
    },
    [Symbol.dispose]: () => {
      hook.closeAllConnections();
      hook.close();
      rmSync(folder, { recursive: true });
    },
  };
}

type Waiting = { id: string; from: string; asked: number; approvedBy: number[]; state: string };

/** What waits, once it was asked for so often. */
async function waitFor(server: Served, asked: number): Promise<Waiting> {
  for (;;) {
    const [request] = ((await curl(server, "requests")) as { requests: Waiting[] }).requests;
    if (request !== undefined && request.asked >= asked) return request;
    await setTimeout(300);
  }
}

async function sealAt(server: Served): Promise<string> {
  const { url } = await enrolAt(server, "hsm");
  const args = ["encrypt", "tang", JSON.stringify({ url }), "-y"];
  const { stdout, status, stderr } = spawnSync("clevis", args, { input: "a secret", encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout;
}

test("clevis waits for two operators, through a restart of the server, and opens by itself then", {
  skip,
}, async () => {
  const home = mkdtempSync(join(tmpdir(), "nightlatch-request-"));
  chmodSync(home, 0o755);
  try {
    const group = join(home, "group");
    copyFileSync("/etc/group", group);
    writeFileSync(group, `nightlatch:x:${GROUP}:\n`, { flag: "a" });
    const mount = `mount --bind "${group}" /etc/group && exec "$@"`;
    const through: [string, ...string[]] = ["unshare", "-m", "sh", "-c", mount, "sh"];
    const first = await serve({ home, through });
    const sealed = await sealAt(first);
    await first.json("machine", "policy", "hsm", "approval", "--of", "2", "--timeout", "30m");
    using machine = insist(sealed);
    const { id, from } = await waitFor(first, 2);
    assert.equal(from, "127.0.0.1");
    assert.equal((await voteAs(FIRST, first, `${id}/approve`))["opened"], false);
    assert.equal((await voteAs(FIRST, first, `${id}/approve`))["changed"], false);
    await first.end("SIGKILL");

    await using second = await serve({ home, through, listen: new URL(first.url).host });
    const still = await waitFor(second, 1);
    assert.deepEqual([still.id, still.approvedBy, machine.opened()], [id, [FIRST], ""]);
    assert.equal((await voteAs(SECOND, second, `${id}/approve`))["opened"], true);
    assert.equal(await machine.end(), "a secret");

    const { stdout } = await nightlatch("audit", "tail", "--admin", second.admin);
    assert.match(stdout, new RegExp(`hsm +asks for approval from 127.0.0.1, volume \\S+, until .*: request ${id}`));
    assert.match(
      stdout,
      new RegExp(`hsm +request ${id} approved by user ${SECOND}\n.* hsm +is released to 127.0.0.1, as`),
    );
    assert.equal((await second.json("audit", "verify"))["ok"], true);
  } finally {
    rmSync(home, { recursive: true });
  }
});

test("who was denied stays out, and a person reads who waits, since when, and what to say", { skip }, async () => {
  using hook = await receiver();
  await using server = await serve({ args: ["--webhook", hook.url, "--webhook-key", hook.key] });
  const sealed = await sealAt(server);
  const nothing = await nightlatch("request", "list", "--admin", server.admin);
  assert.equal(nothing.stdout, "Nothing waits.\n");
  await server.json("machine", "policy", "hsm", "approval");
  const shown = await nightlatch("machine", "list", "--admin", server.admin);
  assert.match(shown.stdout, /hsm +active +approval of 1 /);
  assert.equal(spawnSync("clevis", ["decrypt"], { input: sealed, encoding: "utf8" }).stdout, "");
  const { id } = await waitFor(server, 1);
  const TIME = String.raw`20\d\d-\d\d-\d\d \d\d:\d\d:\d\dZ`;
  const listed = await nightlatch("request", "list", "--admin", server.admin);
  assert.match(
    listed.stdout,
    new RegExp(`^ID .*\n${id}  hsm      127.0.0.1  waits, 0 of 1  ${TIME}  ${TIME}  ${TIME}\n$`),
  );
  const denied = await nightlatch("request", "deny", id, "--admin", server.admin);
  assert.match(denied.stdout, new RegExp(`^hsm at 127.0.0.1 is denied until ${TIME}\\.\n$`));
  const late = await nightlatch("request", "approve", id, "--admin", server.admin);
  assert.match(late.stderr, /was denied.*\[request\/denied\]/s);
  assert.equal(spawnSync("clevis", ["decrypt"], { input: sealed, encoding: "utf8" }).stdout, "");

  await server.json("machine", "lock", "hsm");
  await server.json("machine", "unlock", "hsm");
  const approved = await nightlatch("request", "approve", "hsm@127.0.0.1", "--admin", server.admin);
  assert.match(approved.stdout, new RegExp(`^hsm at 127.0.0.1 is released until ${TIME}, each latch once\\.\n$`));
  assert.equal(spawnSync("clevis", ["decrypt"], { input: sealed, encoding: "utf8" }).stdout, "a secret");
  const told = ["request.new", "request.denied", "request.new", "request.approved"];
  assert.deepEqual(await hook.types(told.length), told);
});
