/** The real sender, as its unit runs it, and the real server, each a process of its own. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { thumbprintOf } from "../../../src/formats/jose/jwk.ts";
import { parseInvite } from "../../../src/formats/own/invite.ts";
import { enrolMachine } from "../../../src/pins/latch/enrol.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { COMMAND, nightlatch, type Served, serve } from "../../support/serve.ts";
import { exchangeRaw, randomPoint, rawRequest } from "../../support/server/client.ts";

/** Runs `nightlatch heartbeat`, and collects what it says. */
class Sender implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  readonly lines: string[] = [];

  constructor(home: string) {
    const args = ["heartbeat", "--state", join(home, "machine"), "--config", join(home, "agent.toml")];
    this.#child = spawn(COMMAND, args, { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, NO_COLOR: "1" } });
    if (this.#child.stderr !== null) createInterface(this.#child.stderr).on("line", (line) => this.lines.push(line));
    this.#ended = once(this.#child, "close");
  }

  async end(signal: "SIGTERM" | "SIGKILL"): Promise<number | null> {
    this.#child.kill(signal);
    await this.#ended;
    return this.#child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGKILL");
  }
}

type Machine = { state: string; policy: string; timeoutMs: number | null; lastHeard: string | null };

const show = async (server: Served): Promise<Machine> =>
  (await server.json("machine", "show", "nas"))["machine"] as Machine;

/** Waits until something holds; a test that waits for ever is ended by its runner. */
async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await holds())) await nodeSystem.sleep(100);
}

test("silence locks a machine for good, across a crash of the server, until it is unlocked", async () => {
  const home = mkdtempSync(join(tmpdir(), "nightlatch-heartbeat-"));
  try {
    const first = await serve({ home });
    const { invite } = await first.json("machine", "invite", "nas");
    const limits = { timeoutMs: 30_000 };
    const state = join(home, "machine");
    const { latchUrl, advertisement } = await enrolMachine(nodeSystem, state, parseInvite(String(invite)), "v", limits);
    const kid = thumbprintOf(advertisement.exchangeKeys[0]);
    const ask = async () => {
      const request = rawRequest("POST", `${new URL(latchUrl).pathname}/rec/${kid}`, JSON.stringify(randomPoint()));
      return (await exchangeRaw(latchUrl, request)).status;
    };
    writeFileSync(join(home, "agent.toml"), `[heartbeat]\ninterval = "5m"\nservers = ["${first.url}"]\n`);

    const early = await nightlatch("machine", "policy", "nas", "alive", "--admin", first.admin, "--json");
    assert.equal(JSON.parse(early.stdout).error.code, "alive/not-heard");
    {
      await using sender = new Sender(home);
      await until(async () => (await show(first)).lastHeard !== null);
      await until(() => sender.lines.some((line) => line.includes("hears this machine, as nas")));
    }
    // The interval is five minutes, and it is the server who wants heartbeats sooner.
    await using sender = new Sender(home);
    const before = (await show(first)).lastHeard;
    await until(async () => (await show(first)).lastHeard !== before);
    await first.json("machine", "policy", "nas", "alive", "--timeout", "15s");
    await sender.end("SIGTERM");
    await using steady = new Sender(home);
    const heard = new Set<string | null>();
    await until(async () => heard.add((await show(first)).lastHeard).size > 2);
    assert.equal((await show(first)).state, "active");
    assert.equal(await ask(), 200);
    assert.equal(await steady.end("SIGTERM"), 0);

    // A release has given it the time of a boot, which a heartbeat ends.
    {
      await using boot = new Sender(home);
      await until(() => boot.lines.length > 0);
    }
    await until(async () => (await show(first)).state === "locked");
    assert.equal(await ask(), 403);
    await first.end("SIGKILL");
    await using second = await serve({ home, listen: new URL(first.url).host });
    assert.equal((await show(second)).state, "locked");
    assert.equal(await ask(), 403);

    await using woken = new Sender(home);
    await until(() => woken.lines.some((line) => line.includes("machine/locked")));
    assert.equal((await show(second)).state, "locked");
    await second.json("machine", "unlock", "nas");
    assert.equal(await ask(), 200);
    await until(() => woken.lines.some((line) => line.includes("hears this machine, as nas")));
    const log = await nightlatch("audit", "tail", "--admin", second.admin);
    assert.equal(log.stdout.match(/not heard for 15s, last \S+ \S+: locked/g)?.length, 1, log.stdout);
    assert.equal((await second.json("audit", "verify"))["ok"], true);
    const listed = await nightlatch("machine", "list", "--admin", second.admin);
    assert.match(listed.stdout, /LAST HEARD/);
    assert.match(listed.stdout, /nas +active +alive 15s/);
  } finally {
    rmSync(home, { recursive: true });
  }
});

test("a sender without a server says so, and one that is told of a stranger's server does not speak to it", async () => {
  const home = mkdtempSync(join(tmpdir(), "nightlatch-heartbeat-"));
  try {
    const run = () =>
      nightlatch("heartbeat", "--json", "--state", join(home, "machine"), "--config", join(home, "agent.toml"));
    assert.equal(JSON.parse((await run()).stdout).error.code, "machine/not-enrolled");
    writeFileSync(join(home, "agent.toml"), '[heartbeat]\nservers = ["http://192.0.2.1"]\n');
    const { status, stdout } = await run();
    assert.equal(status, 1);
    assert.match(JSON.parse(stdout).error.message, /192\.0\.2\.1/);
  } finally {
    rmSync(home, { recursive: true });
  }
});
