// @ts-nocheck
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { runProgram } from "../../../src/system/run.ts";

const sh = (script: string, more: object = {}) =>
  runProgram({ argv: ["/bin/sh", "-c", script], timeoutMs: 20_000, ...more });

test("exit status, both outputs and a binary stdin come through", async () => {
  const stdin = Buffer.from([0, 255, 10, 13, 0]);
  const exit = await sh("cat; echo err >&2; exit 7", { stdin });
  assert.deepEqual(exit.stdout, stdin);
  assert.equal(exit.stderr.toString(), "err\n");
  assert.equal(exit.status, 7);
  assert.equal(exit.signal, null);
});

test("without stdin a program reads nothing, and the environment holds no more than it should", async () => {
  const exit = await sh("cat; env | cut -d= -f1 | sort | tr '\\n' ' '");
  assert.match(exit.stdout.toString(), /^(LC_ALL |PATH |PWD |SHLVL |_ )+$/);
});

test("a program that does not end is killed with its children", async () => {
  await assert.rejects(sh("sleep 1000 & sleep 1000", { timeoutMs: 200 }), {
    code: "system/timeout",
    message: "/bin/sh did not end within 200 ms",
  });
});

test("a program that prints too much is stopped", async () => {
  await assert.rejects(sh("yes", { outputLimitBytes: 1000 }), { code: "system/output-too-large" });
});

test("a program that is not there says which package work is needed", async () => {
  await assert.rejects(runProgram({ argv: ["/nonexistent/tool"], timeoutMs: 1000 }), {
    code: "system/missing-program",
    message: "/nonexistent/tool could not be started (ENOENT)",
  });
});

test("a program that ends by a signal says which", async () => {
  const exit = await sh("kill -TERM $$");
  assert.equal(exit.status, null);
  assert.equal(exit.signal, "SIGTERM");
});

test("a program that ends without reading its input is an answer, not a crash", async () => {
  const exit = await sh("exit 3", { stdin: Buffer.alloc(1 << 20) });
  assert.equal(exit.status, 3);
});

test("a program that opens its input by name is told apart from the shell before it", async () => {
  const stdin = Buffer.from("first,second");
  const named = (script: string, more: object = {}) => sh(script, { stdin, opensStdin: true, ...more });
  const exit = await named("head -c 6 </dev/stdin; echo :; cat </dev/fd/0; exit 5");
  assert.deepEqual([exit.stdout.toString(), exit.status, exit.signal], ["first,:\nsecond", 5, null]);
  assert.equal(exit.stderr.toString(), "", "no start file of the shell is run");
  assert.equal((await named("echo $PPID")).stdout.toString(), `${process.pid}\n`, "no shell is left between");
  const held = await named("[ -e /proc/$$/fd/3 ] && echo held", { lock: { descriptor: 2 } });
  assert.equal(held.stdout.toString(), "held\n");
  const killed = await named("kill -KILL $$");
  assert.deepEqual([killed.status, killed.signal], [null, "SIGKILL"]);
  assert.equal((await named("exit 3", { stdin: Buffer.alloc(1 << 20) })).status, 3);
  await assert.rejects(named("sleep 1000", { timeoutMs: 200 }), { code: "system/timeout" });
  await assert.rejects(runProgram({ argv: ["/nonexistent/tool"], stdin, opensStdin: true, timeoutMs: 20_000 }), {
    code: "system/missing-program",
    message: "/nonexistent/tool could not be started (ENOENT)",
  });
});

test("an aborted signal gives the program up, before and during", async () => {
  await assert.rejects(sh("sleep 1000", { signal: AbortSignal.abort() }), { code: "system/timeout" });
  const stop = new AbortController();
  const running = sh("sleep 1000", { signal: stop.signal });
  stop.abort();
  await assert.rejects(running, { code: "system/timeout", message: "/bin/sh was given up" });
});

test("a program that left a child of its own session with its pipes is given up in time all the same", async () => {
  const stop = new AbortController();
  const running = sh("setsid sleep 5 & printf key", { signal: stop.signal });
  stop.abort();
  await assert.rejects(running, { code: "system/timeout", message: "/bin/sh was given up" });
});

test("a program that ends and leaves a daemon with its pipes has ended: what it printed is there, the daemon lives", async () => {
  const { status, stdout } = await sh("setsid sleep 1000 & echo $!; head -c 300000 /dev/zero; printf key", {
    timeoutMs: 20_000,
  });
  const [pid = "", ...rest] = stdout.toString("latin1").split("\n");
  process.kill(Number(pid), "SIGKILL"); // throws where it is gone
  assert.equal(status, 0);
  assert.equal(rest.join("\n"), `${"\0".repeat(300_000)}key`);
});

test("a killed program that does not go away is given up; nothing else need keep the process alive", () => {
  // As one in uninterruptible sleep: no signal of ours reaches it.
  const script = `process.kill = () => true;
    const { runProgram } = await import(${JSON.stringify(new URL("../../../src/system/run.ts", import.meta.url).href)});
    const running = runProgram({ argv: ["/bin/sleep", "15"], timeoutMs: 10 });
    process.exitCode = await running.then(() => 3, ({ code }) => (code === "system/timeout" ? 7 : 4));`;
  const { status } = spawnSync(process.execPath, ["--input-type=module", "--eval", script]);
  assert.equal(status, 7);
});
