/**
 * The tether with two real servers and the real sender, each a process of its own. What it would do
 * to this machine is played: nothing is suspended here, and nothing switched off.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type TetherPower, watchTether } from "../../../src/agent/tether/watch.ts";
import { parseAgentConfig } from "../../../src/formats/own/agent-config-file.ts";
import { parseInvite } from "../../../src/formats/own/invite.ts";
import { readHeard } from "../../../src/host/heard-servers.ts";
import { enrolMachine } from "../../../src/pins/latch/enrol.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import type { Programs } from "../../support/fake-files.ts";
import { COMMAND, type Served, serve } from "../../support/serve.ts";
import { writableSystem } from "../../support/writable-files.ts";

const CONFIG = '[heartbeat]\ninterval = "5s"\n[tether]\nafter = "10s"\nvolumes = ["data"]\n';
const SUSPENDED = "/sys/block/dm-0/dm/suspended";

/** A machine with one open volume; its files of the tether are real. */
function playedMachine(folder: string) {
  const acts: string[] = [];
  const files: Record<string, string> = {
    "/sys/block/dm-0/dm/name": "data\n",
    "/sys/block/dm-0/dm/uuid": `CRYPT-LUKS2-${"ab".repeat(16)}-data\n`,
    [SUSPENDED]: "0\n",
  };
  const programs: Programs = (argv) => {
    if (argv[0] === "findmnt") return { stdout: "tmpfs\n" };
    if (argv[0] === "dmsetup") return { stdout: `0 9 crypt aes-xts-plain64 ${"0".repeat(128)} 0 254:0 9\n` };
    acts.push(argv.join(" "));
    files[SUSPENDED] = "1\n";
    return {};
  };
  const fake = writableSystem(files, programs);
  const isReal = (path: string) => path.startsWith(folder);
  const system: TetherPower = {
    ...fake,
    sleep: nodeSystem.sleep,
    upMs: nodeSystem.upMs,
    writeFile: nodeSystem.writeFile,
    readFileIfPresent: (path, limit) => (isReal(path) ? nodeSystem : fake).readFileIfPresent(path, limit),
  };
  const resume = () => {
    files[SUSPENDED] = "0\n";
  };
  return { system, acts, resume };
}

/** Waits until something holds; a test that waits for ever is ended by its runner. */
async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await holds())) await nodeSystem.sleep(100);
}

test("one server that is down trips nothing, a lock of the other does, and so does the silence of both", async () => {
  const home = mkdtempSync(join(tmpdir(), "nightlatch-tether-"));
  const stop = new AbortController();
  try {
    const [state, folder, heard] = [join(home, "machine"), join(home, "tether"), join(home, "heard/heard.json")];
    for (const path of [folder, join(home, "heard")]) mkdirSync(path);
    writeFileSync(join(home, "agent.toml"), CONFIG);
    await using one = await serve();
    await using two = await serve();
    for (const server of [one, two]) await enrol(state, server);

    const sender = spawn(
      COMMAND,
      ["heartbeat", "--state", state, "--config", join(home, "agent.toml"), "--heard", heard],
      { stdio: "ignore" },
    );
    const gone = once(sender, "close");
    const known = () => readHeard(nodeSystem, heard);
    try {
      await until(async () => (await known()).length === 2);
      const { system, acts, resume } = playedMachine(home);
      const lines: string[] = [];
      const { tether, heartbeat } = parseAgentConfig(Buffer.from(CONFIG), "agent.toml");
      assert.ok(tether !== null);
      const log = (_: string, text: string) => lines.push(text);
      const options = { tether, intervalMs: heartbeat.intervalMs, heard, folder, log };
      const watching = watchTether(system, options, stop.signal);

      await one.end("SIGKILL");
      await until(async () => {
        const [oneMs = 0, twoMs = 0] = (await known()).map(({ heardMs }) => heardMs).sort((a, b) => a - b);
        return twoMs - oneMs > 11_000;
      });
      assert.deepEqual(acts, [], "one of two is silent for longer than both may be");

      await two.json("machine", "lock", "nas");
      await until(() => acts.length > 0);
      assert.deepEqual(acts, ["cryptsetup luksSuspend data"]);
      await until(() => lines.some((line) => line.includes("cryptsetup luksResume data")));
      assert.ok(lines.includes(`${new URL(two.url).host} has locked this machine: suspending`), String(lines));

      resume();
      await two.json("machine", "unlock", "nas");
      await until(async () => (await known()).every(({ lockedMs }) => lockedMs === null));
      assert.equal(acts.length, 1, "not a second time for the same lock");
      if (process.env["NIGHTLATCH_TEST_FULL"]) {
        await two.end("SIGKILL");
        await until(() => acts.length > 1);
        assert.ok(
          lines.some((line) => /no server has answered for 1\d s: suspending/.test(line)),
          String(lines),
        );
      }
      stop.abort();
      await watching;
    } finally {
      sender.kill("SIGTERM");
      await gone;
    }
  } finally {
    stop.abort();
    rmSync(home, { recursive: true });
  }
});

test("a lease that the server told of is waited for, and silence counts at once when it ends", async () => {
  const home = mkdtempSync(join(tmpdir(), "nightlatch-tether-"));
  const stop = new AbortController();
  try {
    const [state, folder, heard] = [join(home, "machine"), join(home, "tether"), join(home, "heard/heard.json")];
    for (const path of [folder, join(home, "heard")]) mkdirSync(path);
    writeFileSync(join(home, "agent.toml"), CONFIG);
    await using server = await serve();
    await enrol(state, server);
    await server.json("machine", "policy", "nas", "lease");
    await server.json("machine", "lease", "nas", "2m");
    const args = ["heartbeat", "--state", state, "--config", join(home, "agent.toml"), "--heard", heard];
    const sender = spawn(COMMAND, args, { stdio: "ignore" });
    const gone = once(sender, "close");
    const leaseMs = async () => (await readHeard(nodeSystem, heard))[0]?.leaseMs ?? null;
    await until(async () => (await leaseMs()) !== null);
    sender.kill("SIGTERM");
    await gone;
    const endMs = Number(await leaseMs());
    assert.ok(endMs - nodeSystem.upMs() > 60_000 && endMs - nodeSystem.upMs() <= 120_000);

    // From here on nothing is heard, and a second takes a hundredth.
    const { system, acts } = playedMachine(home);
    const clock = { upMs: nodeSystem.upMs() };
    const times: number[] = [];
    const { run } = system;
    const played: TetherPower = {
      ...system,
      upMs: () => clock.upMs,
      sleep: async (delayMs, signal) => {
        await nodeSystem.sleep(delayMs / 100, signal);
        if (signal?.aborted !== true) clock.upMs += delayMs;
      },
      run: (request) => {
        if (request.argv[0] === "cryptsetup") times.push(clock.upMs);
        return run(request);
      },
    };
    const { tether, heartbeat } = parseAgentConfig(Buffer.from(CONFIG), "agent.toml");
    assert.ok(tether !== null);
    const options = { tether, intervalMs: heartbeat.intervalMs, heard, folder, log: () => {} };
    const watching = watchTether(played, options, stop.signal);
    await until(() => acts.length > 0);
    stop.abort();
    await watching;
    assert.deepEqual(acts, ["cryptsetup luksSuspend data"]);
    assert.ok(Number(times[0]) >= endMs, "not before the lease ends");
    assert.ok(Number(times[0]) < endMs + 10_000, "and then at once");
  } finally {
    stop.abort();
    rmSync(home, { recursive: true });
  }
});

async function enrol(state: string, server: Served): Promise<void> {
  const { invite } = await server.json("machine", "invite", "nas");
  await enrolMachine(nodeSystem, state, parseInvite(String(invite)), "v", { timeoutMs: 30_000 });
}
