/** A power cut: the senders of heartbeats, and then the server, are processes that are killed. */
import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { askServer } from "../../../src/cli/operator-client.ts";
import { thumbprintOf } from "../../../src/formats/jose/jwk.ts";
import type { JsonObject } from "../../../src/formats/json/json.ts";
import { parseInvite } from "../../../src/formats/own/invite.ts";
import { enrolMachine } from "../../../src/pins/latch/enrol.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { COMMAND, nightlatch, type Served, serve } from "../../support/serve.ts";
import { randomPoint } from "../../support/server/client.ts";

const skip = spawnSync("curl", ["--version"]).error === undefined ? false : "curl is not installed";

/**
 * All of it passes for real. Each heartbeat has a quarter of it to be answered in, also where the
 * whole suite runs beside.
 */
const SILENCE_MS = 20_000;

/** A machine of the site, with its state folder. */
interface Member {
  readonly name: string;
  readonly home: string;
  /** Path of its recovery requests. */
  readonly recovery: string;
}

async function makeMember(server: Served, root: string, name: string): Promise<Member> {
  const { invite } = await say(server, ["invites"], { name, lifetimeMs: 3_600_000 });
  const home = join(root, name);
  const limits = { timeoutMs: 30_000 };
  const state = join(home, "machine");
  mkdirSync(home);
  const { latchUrl, advertisement } = await enrolMachine(nodeSystem, state, parseInvite(String(invite)), "v", limits);
  writeFileSync(join(home, "agent.toml"), `[heartbeat]\ninterval = "5s"\nservers = ["${server.url}"]\n`);
  const kid = thumbprintOf(advertisement.exchangeKeys[0]);
  return { name, home, recovery: `${new URL(latchUrl).pathname}/rec/${kid}` };
}

/** Runs the machine's sender. It is killed when it is disposed of. */
function running({ home }: Member) {
  const args = ["heartbeat", "--state", join(home, "machine"), "--config", join(home, "agent.toml")];
  const child = spawn(COMMAND, args, { stdio: "ignore" });
  const ended = once(child, "close");
  const end = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  return { end, [Symbol.asyncDispose]: end };
}

function curl(...args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile("curl", ["-s", ...args], (error, stdout) => (error === null ? resolve(stdout) : reject(error)));
  });
}

/** As the commands ask over the admin socket; each would cost a process. */
const look = (server: Served, ...path: readonly string[]) => askServer(nodeSystem, server.admin, "GET", path);
const say = (server: Served, path: readonly string[], body: JsonObject = {}) =>
  askServer(nodeSystem, server.admin, "POST", path, body);

/** Asks for the machine's key from an address of this machine. Gives the status. */
async function ask(server: Served, { recovery }: Member, from = "127.0.0.1"): Promise<number> {
  const body = JSON.stringify(randomPoint());
  const args = ["--interface", from, "-o", "/dev/null", "-w", "%{http_code}", "-d", body];
  return Number(await curl(...args, `${server.url}${recovery}`));
}

type Shown = { state: string; gone: boolean; lastHeard: string | null; timeoutMs: number | null };

const show = async (server: Served, { name }: Member) =>
  (await look(server, "machines", name))["machine"] as unknown as Shown;

/** Waits until something holds; a test that waits for ever is ended by its runner. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await nodeSystem.sleep(300);
}

test("a power cut holds a site, also across a crash of the server; one word lets it in, from where it was", {
  skip,
}, async () => {
  const root = mkdtempSync(join(tmpdir(), "nightlatch-site-"));
  try {
    await using first = await serve({ home: root });
    const nas = await makeMember(first, root, "nas");
    const web = await makeMember(first, root, "web");
    const lamp = await makeMember(first, root, "lamp");
    {
      await using _nas = running(nas);
      await using _web = running(web);
      const heard = async (after: readonly (string | null)[] = []) => {
        const times: (string | null)[] = [];
        for (const [index, one] of [nas, web].entries()) {
          await until(async () => (await show(first, one)).lastHeard !== (after[index] ?? null));
          times.push((await show(first, one)).lastHeard);
        }
        return times;
      };
      await say(first, ["groups"], { name: "home" });
      for (const { name } of [nas, web, lamp]) await say(first, ["machines", name, "join"], { group: "home" });
      await say(first, ["machines", "lamp", "policy"], { policy: "always" });
      await heard();
      await say(first, ["groups", "home", "policy"], { policy: "alive", timeoutMs: SILENCE_MS });
      await heard(await heard());
      assert.equal(await ask(first, lamp), 200);
    }
    await until(async () => {
      const { group } = await look(first, "groups", "home");
      return (group as { site: { state: string } }).site.state === "held";
    });
    await until(async () => (await show(first, nas)).gone && (await show(first, web)).gone);
    const shown = await nightlatch("site", "list", "--admin", first.admin);
    assert.match(shown.stdout, /^SITE +STATE +MACHINES +GONE WITH IT\nhome +held since .*, by itself +3 +2\n$/);
    for (const one of [nas, web, lamp]) {
      assert.equal((await show(first, one)).state, "active");
      assert.equal(await ask(first, one), 403);
    }
    await first.end("SIGKILL");

    await using second = await serve({ home: root, listen: new URL(first.url).host });
    for (const one of [nas, web, lamp]) assert.equal(await ask(second, one), 403);
    const released = await nightlatch("site", "release", "home", "--rate", "1/h", "--admin", second.admin);
    assert.match(released.stdout, /^The site home is released, 1\/h, until .*\. Gone with it: 2\.\n$/);
    assert.equal(await ask(second, nas, "127.0.0.9"), 403);
    assert.equal(await ask(second, nas), 200);
    assert.equal(await ask(second, nas), 200);
    assert.equal(await ask(second, web), 403, "its turn is in an hour");
    await say(second, ["groups", "home", "release"], { count: 10, perMs: 1000, openMs: 300_000 });
    await until(async () => (await ask(second, web)) === 200); // a tenth of a second after the nas
    await until(async () => (await ask(second, lamp)) === 200);
    const before = (await show(second, nas)).lastHeard;
    await using back = running(nas);
    await until(async () => (await show(second, nas)).lastHeard !== before);
    await back.end();

    await say(second, ["groups", "home", "hold"]);
    assert.equal(await ask(second, lamp), 403);
    const log = await nightlatch("audit", "tail", "-n", "40", "--admin", second.admin);
    assert.match(log.stdout, /the site home is held: 2 of 2 machines fell silent together\n/);
    assert.match(log.stdout, /the site home is released by user \d+, 1 machines in 1h, until /);
    assert.match(log.stdout, /nas +refused to 127\.0\.0\.9.*asks from elsewhere now \[policy\/other-place\]/);
    assert.match(log.stdout, /the site home is held: by user \d+\n$/);
    assert.doesNotMatch(log.stdout, /: locked\n/);
    assert.equal((await second.json("audit", "verify"))["ok"], true);
  } finally {
    rmSync(root, { recursive: true });
  }
});
