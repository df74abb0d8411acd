/**
 * Nobody looks into our processes: no debugger by a signal or the environment, no core file.
 * docs/decisions/069-nobody-looks-in.md
 */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, test } from "node:test";
import { COMMANDS } from "../../../src/cli/registry.ts";
import {
  AGENT_MAIN,
  COMMAND,
  childOf,
  endOf,
  listeningPorts,
  MAIN,
  runEntry,
  until,
  withstandsUsr1,
} from "../../support/entry-points.ts";
import { makeState } from "../../support/luks-change.ts";
import { serve } from "../../support/serve.ts";
import { makeFolder, makeVolume, opens, PASSPHRASE } from "../../support/volumes.ts";

const ROOT = resolve(import.meta.dirname, "../../..");
const folder = makeFolder();
const passphrase = join(folder, "passphrase");
writeFileSync(passphrase, PASSPHRASE);

/** So slow that cryptsetup is seen at work with the passphrase. */
const SLOW = ["--pbkdf-force-iterations", "1000000"];

/**
 * At the process's end: a SIGUSR1 to itself, time to heed it, and then what somebody outside could
 * look into.
 */
const hook = join(folder, "hook.mjs");
writeFileSync(
  hook,
  `import { readFileSync, writeFileSync } from "node:fs";
   import inspector from "node:inspector";
   import { libcFunction } from ${JSON.stringify(join(ROOT, "src/system/native/native.ts"))};
   process.on("exit", () => {
     process.kill(process.pid, "SIGUSR1");
     for (const end = performance.now() + 30; performance.now() < end; ) JSON.parse("{}");
     const PR_GET_DUMPABLE = 3;
     const dumpable = libcFunction("int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)")(PR_GET_DUMPABLE, 0, 0, 0, 0);
     const core = /^Max core file size +(\\S+) +(\\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
     writeFileSync(process.env.LOOK, JSON.stringify({ dumpable, core: core.slice(1), debugger: inspector.url() ?? null }));
   });`,
);

async function look(entry: string, args: readonly string[]): Promise<unknown> {
  const path = join(folder, "look.json");
  writeFileSync(path, "null");
  await runEntry(entry, args, { hook, env: { LOOK: path } });
  return JSON.parse(readFileSync(path, "utf8"));
}

/**
 * Core files need a page at least, and 1 keeps them from programs in core_pattern too; the hard
 * limit 0 of a unit stays as it is.
 */
const SECLUDED = /^\{"dumpable":0,"core":\["[01]","[01]"\],"debugger":null\}$/;

test("every command is secluded, however it ends", async () => {
  const seen: Record<string, string> = {};
  for (const name of [...Object.keys(COMMANDS), "", "--help", "no-such-command"]) {
    seen[name] = JSON.stringify(await look(MAIN, [...name.split(" ").filter(Boolean), "--no-such-option"]));
  }
  const open = Object.entries(seen).filter(([, found]) => !SECLUDED.test(found));
  assert.deepEqual(open, []);
  assert.match(JSON.stringify(await look(AGENT_MAIN, ["--no-such-option"])), /^\{"dumpable":0,.*"debugger":null\}$/);
});

test("a command is secluded before what it consists of is loaded", async () => {
  const early = join(folder, "early.mjs");
  const seen = join(folder, "early.txt");
  writeFileSync(
    early,
    `import { appendFileSync } from "node:fs";
     import { registerHooks } from "node:module";
     import { libcFunction } from ${JSON.stringify(join(ROOT, "src/system/native/native.ts"))};
     const prctl = libcFunction("int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)");
     registerHooks({
       load: (url, context, next) => {
         if (/\\/src\\/(?!main|system\\/(?:seclusion|native)\\.ts)/.test(url)) appendFileSync(${JSON.stringify(seen)}, prctl(3, 0, 0, 0, 0) + " " + url + "\\n");
         return next(url, context);
       },
     });`,
  );
  assert.equal((await runEntry(MAIN, ["--version"], { hook: early })).status, 0);
  const lines = readFileSync(seen, "utf8").trim().split("\n");
  assert.ok(lines.length > 5);
  assert.deepEqual(
    lines.filter((line) => !line.startsWith("0 ")),
    [],
  );
});

test("what is looked for is there in a program that is not secluded", async () => {
  const plain = join(folder, "plain.mjs");
  writeFileSync(plain, "");
  const found = (await look(plain, [])) as { dumpable: number; debugger: string | null };
  assert.equal(found.dumpable, 1);
  assert.match(String(found.debugger), /^ws:/);
});

describe("SIGUSR1, from the moment that a process can withstand it", () => {
  const plain = [process.execPath, "--disable-warning=ExperimentalWarning"];
  const starts: Readonly<Record<string, readonly string[]>> = {
    "node src/main.ts": [...plain, MAIN],
    "bin/nightlatch": [COMMAND],
  };

  /** Signals it until `isUp`, and then once more; the ports that it listens on after that. */
  async function signalled(argv: readonly string[], isUp: (pid: number) => boolean, env: NodeJS.ProcessEnv = {}) {
    const child = spawn(argv[0] ?? "", argv.slice(1), {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    child.stderr.resume();
    child.stdout.resume();
    const pid = child.pid ?? assert.fail();
    const ended = endOf(child);
    await until(() => child.exitCode !== null || withstandsUsr1(pid), "it withstands SIGUSR1");
    await until(() => {
      child.kill("SIGUSR1");
      return child.exitCode !== null || child.signalCode !== null || isUp(pid);
    }, "it is up");
    child.kill("SIGUSR1");
    await new Promise((wake) => setTimeout(wake, 500));
    assert.deepEqual([child.exitCode, child.signalCode], [null, null], "it lives on");
    return { child, ended, ports: listeningPorts(pid) };
  }

  for (const [name, start] of Object.entries(starts)) {
    test(`${name} serve listens where it was told to, and nowhere else`, async () => {
      const admin = join(folder, `${name.replaceAll(/\W/g, "-")}.sock`);
      const data = `${admin}.data`;
      const argv = [...start, "serve", "--data", data, "--listen", "127.0.0.1:0", "--admin", admin];
      const { child, ended, ports } = await signalled(argv, () => existsSync(admin));
      child.kill("SIGTERM");
      assert.equal((await ended).status, 0);
      assert.equal(ports.length, 1);
    });

    test(`${name} agent listens on no port`, async () => {
      const socket = join(folder, `${name.replaceAll(/\W/g, "-")}.agent`);
      const argv = [...start, "agent", "--socket", socket, "--crypttab", "/dev/null", "--config", join(folder, "none")];
      const { child, ended, ports } = await signalled(argv, () => existsSync(socket));
      child.kill("SIGTERM");
      assert.equal((await ended).status, 0);
      assert.deepEqual(ports, []);
    });

    test(`${name} bind goes on through the change of a header`, async () => {
      await using server = await serve();
      const invite = String((await server.json("machine", "invite", "machine"))["invite"]);
      const image = makeVolume(folder, `${name.replaceAll(/\W/g, "-")}.img`, "luks2", SLOW);
      const argv = [...start, "bind", image, "latch", invite, "--key-file", passphrase, "--state", makeState(folder)];
      const { child, ended, ports } = await signalled(argv, (pid) => childOf(pid, "cryptsetup") !== null);
      const again = setInterval(() => child.kill("SIGUSR1"), 50);
      // Node gives signals their defaults back on its last steps, when the result has long been
      // told.
      child.stdout.once("data", () => clearInterval(again));
      const how = await ended;
      clearInterval(again);
      assert.deepEqual(how, { status: 0, signal: null });
      assert.deepEqual(ports, []);
      assert.ok(opens(image, PASSPHRASE));
    });

    test(`${name} serve has no debugger by NODE_OPTIONS either`, async () => {
      const admin = join(folder, `${name.replaceAll(/\W/g, "-")}-options.sock`);
      const argv = [...start, "serve", "--data", `${admin}.data`, "--listen", "127.0.0.1:0", "--admin", admin];
      const env = { NODE_OPTIONS: "--inspect=127.0.0.1:0" };
      const { child, ended, ports } = await signalled(argv, () => existsSync(admin), env);
      child.kill("SIGTERM");
      assert.equal((await ended).status, 0);
      assert.equal(ports.length, 1);
    });
  }
});

test("neither bind nor the cryptsetup that it runs leaves a core file, where the shell allows any", async (t) => {
  const pattern = readFileSync("/proc/sys/kernel/core_pattern", "utf8").trim();
  const isFile = /^[^|@/][^/]*$/.test(pattern);
  await using server = await serve();
  for (const victim of ["cryptsetup", "bind"]) {
    const place = join(folder, `core-${victim}`);
    mkdirSync(place);
    const invite = String((await server.json("machine", "invite", victim))["invite"]);
    const image = makeVolume(folder, `${victim}.img`, "luks2", SLOW);
    const args = ["bind", image, "latch", invite, "--key-file", passphrase, "--state", makeState(folder)];
    const argv = [process.execPath, "--disable-warning=ExperimentalWarning", MAIN, ...args];
    const child = spawn("prlimit", ["--core=unlimited", ...argv], { cwd: place, stdio: "ignore" });
    const ended = endOf(child);
    const pid = child.pid ?? assert.fail();
    await until(() => childOf(pid, "cryptsetup") !== null || child.exitCode !== null, "cryptsetup runs");
    const tool = childOf(pid, "cryptsetup") ?? assert.fail("cryptsetup was not seen");
    assert.match(readFileSync(`/proc/${tool}/limits`, "utf8"), /^Max core file size +1 +1 /m);
    process.kill(victim === "bind" ? pid : tool, "SIGABRT");
    await ended;
    assert.deepEqual(readdirSync(place), []);
  }
  if (!isFile) t.diagnostic(`core_pattern is ${pattern}: no core file would be here anyway`);
});

describe("the launchers", () => {
  const launchers = { checkout: COMMAND, package: join(ROOT, "packaging/nightlatch") };
  const unsetBy = (path: string) =>
    (/^unset ((?:.*\\\n)*.*)$/m.exec(readFileSync(path, "utf8"))?.[1] ?? "").split(/[\s\\]+/).filter(Boolean);

  test("leave outside what this Node names as its environment, but for colours, the time zone and the count of threads", () => {
    const help = spawnSync(process.execPath, ["--help"], { encoding: "utf8" }).stdout;
    const names = [...help.slice(help.indexOf("\nEnvironment variables:")).matchAll(/^([A-Z][A-Z0-9_]+)(?: |$)/gm)].map(
      ([, name]) => name,
    );
    assert.ok(names.includes("NODE_EXTRA_CA_CERTS"), "the help was read");
    const harmless = ["FORCE_COLOR", "NO_COLOR", "TZ", "UV_THREADPOOL_SIZE"];
    for (const path of Object.values(launchers)) {
      const left = names.filter((name) => !unsetBy(path).includes(String(name)));
      assert.deepEqual(left, harmless, path);
    }
  });

  test("agree with each other, and start Node deaf to SIGUSR1", () => {
    assert.deepEqual(unsetBy(launchers.checkout), unsetBy(launchers.package));
    for (const path of Object.values(launchers)) {
      assert.match(readFileSync(path, "utf8"), /^exec \S+ --disable-sigusr1 /m, path);
    }
  });

  test("run no code that the environment names", () => {
    const evil = join(folder, "evil.cjs");
    const mark = join(folder, "mark");
    writeFileSync(evil, `require("fs").writeFileSync(${JSON.stringify(mark)}, "")`);
    const env = { ...process.env, NODE_OPTIONS: `--require ${evil}` };
    assert.match(execFileSync(COMMAND, ["--version"], { env, encoding: "utf8" }), /^nightlatch /);
    assert.ok(!existsSync(mark));
    execFileSync(process.execPath, ["-e", "0"], { env });
    assert.ok(existsSync(mark), "Node itself would have run it");
  });
});
