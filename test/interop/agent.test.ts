import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createCipheriv } from "node:crypto";
import { copyFileSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { askForKey } from "../../script/key-client.ts";
import { formatClevisToken } from "../../src/formats/clevis.ts";
import type { Advertisement } from "../../src/formats/tang.ts";
import { fetchAdvertisement, sealToAdvertisement } from "../../src/pins/tang.ts";
import { nodeSystem } from "../../src/system/node.ts";
import { type AgentProcess, type Door, makeDoor, startAgent } from "./agent-process.ts";
import { noTangd, startTangd, type Tangd } from "./tangd.ts";
import { addSlot, addToken, makeFolder, makeVolume, opens, PASSPHRASE, patch } from "./volumes.ts";

/** The passphrase of the slot that is bound. */
const KEY = "YSBwYXNzcGhyYXNlIGFzIGxvbmcgYXMgdGhlIHJlYWwgb25lcyBhcmU";
const folder = makeFolder();
const at = (name: string) => join(folder, name);

function configure(volumes: Readonly<Record<string, string>>, config = ""): void {
  const lines = Object.entries(volumes).map(([volume, device]) => `${volume} ${device} /run/x.sock luks,_netdev\n`);
  writeFileSync(at("crypttab"), lines.join(""));
  writeFileSync(at("agent.toml"), config);
}

describe("the agent", { skip: noTangd }, () => {
  let tangd: Tangd;
  let advertisement: Advertisement;
  let door: Door;
  let deaf: Door;
  let bare: string;

  before(async () => {
    tangd = await startTangd();
    advertisement = await fetchAdvertisement(nodeSystem, tangd.url, { deadlineMs: 20_000 });
    door = await makeDoor(tangd.url);
    deaf = await makeDoor(null);
    bare = makeVolume(folder, "bare.img", "luks2");
    addSlot(bare, KEY);
  });
  after(async () => {
    for (const disposable of [door, deaf, tangd]) await disposable[Symbol.asyncDispose]();
  });

  /** A volume with one token for each server. */
  function bound(name: string, ...urls: readonly string[]): string {
    copyFileSync(bare, at(name));
    for (const url of urls) {
      const jwe = sealToAdvertisement(nodeSystem, url, advertisement, Buffer.from(KEY));
      addToken(at(name), formatClevisToken(jwe, 1));
    }
    return at(name);
  }

  async function withAgent(use: (agent: AgentProcess) => Promise<void>, args: readonly string[] = []): Promise<void> {
    await using agent = await startAgent({ folder, args });
    await use(agent);
    await agent.stop();
    assert.doesNotMatch(agent.log(), /internal error|SWORDFISH/);
    assert.ok(!agent.log().includes(KEY) && !agent.log().includes(PASSPHRASE));
  }

  test("gives a key that opens the volume, and says from where and how long it took", async () => {
    const volume = bound("one.img", tangd.url);
    configure({ one: volume });
    await withAgent(async (agent) => {
      const key = await agent.ask("one");
      assert.ok(opens(volume, key, 1));
      const host = new URL(tangd.url).host;
      await agent.said(new RegExp(`one: key sent after \\d+\\.\\d{3} s, from token 0 \\(tang at ${host}\\)\\n$`));
    });
  });

  test("opens what clevis bound, LUKS2 and LUKS1", { skip: noClevis() }, async () => {
    const volumes = { two: makeVolume(folder, "two.img", "luks2"), eins: makeVolume(folder, "eins.img", "luks1") };
    writeFileSync(at("passphrase"), PASSPHRASE);
    for (const volume of Object.values(volumes)) {
      const argv = [
        "luks",
        "bind",
        "-y",
        "-k",
        at("passphrase"),
        "-d",
        volume,
        "tang",
        JSON.stringify({ url: tangd.url }),
      ];
      const { status, stderr } = spawnSync("clevis", argv, { encoding: "utf8" });
      assert.equal(status, 0, stderr);
    }
    configure(volumes);
    await withAgent(async (agent) => {
      for (const [name, volume] of Object.entries(volumes)) assert.ok(opens(volume, await agent.ask(name), 1), name);
    });
  });

  test("twenty volumes ask at once, and one of them twice", async () => {
    const volume = bound("many.img", tangd.url);
    const names = Array.from({ length: 20 }, (_, index) => `volume${index}`);
    configure(Object.fromEntries(names.map((name) => [name, volume])));
    await withAgent(async (agent) => {
      const keys = await Promise.all([...names, "volume0"].map((name) => agent.ask(name)));
      assert.deepEqual([...new Set(keys.map(String))], [KEY]);
    });
  });

  test("asks every server side by side: a silent one, one that is off, and one that answers", async () => {
    const off = await makeDoor(null);
    await off.shut();
    configure({ v: bound("side.img", deaf.url, off.url, tangd.url) });
    await withAgent(async (agent) => {
      assert.equal(String(await agent.ask("v")), KEY);
      await agent.said(/v: key sent after .*, from token 2 /);
    });
  });

  test("a server that comes late is found", async () => {
    configure({ v: bound("late.img", door.url) });
    await door.shut();
    await withAgent(async (agent) => {
      const key = agent.ask("v");
      await agent.said(/v: token 0 .* cannot be reached \(ECONNREFUSED\) \[net\/unreachable\]; trying again/);
      await door.open();
      assert.equal(String(await key), KEY);
    });
  });

  test("a server that never answers ends at the volume's deadline, with nothing", async () => {
    configure({ v: bound("deaf.img", deaf.url) }, '[volume.v]\ndeadline = "1s"');
    await withAgent(async (agent) => {
      assert.equal((await agent.ask("v")).length, 0);
      assert.match(agent.log(), /v: no key after 1\.\d+ s: no key came in time \[agent\/deadline\]/);
    });
  });

  test("a refusal closes at once, with nothing", async () => {
    const other = await startTangd();
    configure({ v: bound("refused.img", other.url) });
    await withAgent(async (agent) => {
      assert.equal((await agent.ask("v")).length, 0);
      assert.match(agent.log(), /does not know the key that the volume is bound to \[pin\/unknown-key\]/);
    });
    await other[Symbol.asyncDispose]();
  });

  test("what is no volume of ours closes with nothing and says why", async () => {
    const zeros = at("zeros.img");
    writeFileSync(zeros, Buffer.alloc(1 << 20));
    const garbage = bound("garbage.img", tangd.url);
    patch(garbage, [
      [200, Buffer.alloc(16384 - 200, 0xa5)],
      [16384 + 200, Buffer.alloc(16384 - 200, 0xa5)],
    ]);
    const strange = bound("strange.img");
    addToken(strange, { type: "clevis", keyslots: ["1"], jwe: { protected: "%%" } });
    configure({ zeros, garbage, bare, strange });
    await withAgent(async (agent) => {
      for (const [volume, code] of [
        ["zeros", "luks/none"],
        ["garbage", "luks/damaged"],
        ["bare", "agent/no-binding"],
        ["strange", "jwe/malformed"],
        ["unknown", "agent/unknown-volume"],
      ]) {
        assert.equal((await agent.ask(String(volume))).length, 0);
        assert.match(agent.log(), new RegExp(`${volume}: no key after .*\\[${code}\\]`), String(volume));
      }
    });
  });

  test("a disk that appears late is waited for", async () => {
    const volume = bound("hidden.img", tangd.url);
    configure({ v: at("appears.img") });
    await withAgent(async (agent) => {
      const key = agent.ask("v");
      await agent.said(/v: .*appears\.img does not exist \(ENOENT\); waiting for it/);
      renameSync(volume, at("appears.img"));
      assert.equal(String(await key), KEY);
    });
  });

  test("a detached header is read where crypttab says it is", async () => {
    const header = bound("header.img", tangd.url);
    configure({});
    writeFileSync(at("crypttab"), `v /nowhere /run/x.sock luks,header=${header}\n`);
    await withAgent(async (agent) => assert.equal(String(await agent.ask("v")), KEY));
  });

  test("a client that goes away ends the work", async () => {
    configure({ v: bound("gone.img", deaf.url) });
    await withAgent(async (agent) => {
      const client = askForKey({ socket: agent.socket, volume: "v" });
      client.on("error", () => {});
      await new Promise((resolve) => setImmediate(resolve));
      client.destroy();
      await agent.said(/v: given up after/);
    });
  });

  test("SIGTERM in the middle of it closes with nothing and ends with 0", async () => {
    configure({ v: bound("stopped.img", deaf.url) });
    const agent = await startAgent({ folder });
    const key = agent.ask("v");
    const other = askForKey({ socket: agent.socket, volume: "unknown" });
    await agent.said(/unknown: no key/); // both have been accepted by then
    assert.equal(await agent.stop(), 0);
    assert.equal((await key).length, 0);
    other.destroy();
  });

  test("a mistake in agent.toml keeps no volume shut that has a binding", async () => {
    configure({ v: bound("mistake.img", tangd.url) }, "deadline = 60");
    await withAgent(async (agent) => {
      assert.equal(String(await agent.ask("v")), KEY);
      assert.match(agent.log(), /agent\.toml: deadline is not a duration such as "20s" \[agent\/bad-config\]/);
    });
  });

  test("started by systemd at the first connection, it serves and ends by itself", async () => {
    configure({ v: bound("activated.img", tangd.url) });
    const agent = await startAgent({ folder, args: ["--idle", "1"], activated: true });
    assert.equal(String(await agent.ask("v")), KEY);
    const status = await new Promise((resolve) => agent.process.once("exit", resolve));
    assert.equal(status, 0);
  });

  test("a second agent on the same socket is told off", async () => {
    configure({});
    await withAgent(async (agent) => {
      const { status, stderr } = spawnSync(agent.process.spawnfile, ["agent", "--socket", agent.socket], {
        encoding: "utf8",
      });
      assert.equal(status, 1);
      assert.match(stderr, /another program listens on .* already \[agent\/socket\]/);
    });
  });
});

describe("the agent's commands", () => {
  const script = (name: string, text: string) => {
    writeFileSync(at(name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    return at(name);
  };
  const exec = (volume: string, program: string, more = "") => `[volume.${volume}]\nexec = ["${program}"]\n${more}\n`;

  test("what it prints is the key; a line feed at its end as the user says", async () => {
    const program = script("print", "echo key");
    const config = [
      exec("keep", program, 'newline = "keep"'),
      exec("plain", program),
      exec("strip", program, 'newline = "strip"'),
    ].join("");
    configure({ keep: "/nowhere", plain: "/nowhere", strip: "/nowhere" }, config);
    await using agent = await startAgent({ folder });
    assert.equal(String(await agent.ask("keep")), "key\n");
    assert.equal(String(await agent.ask("plain")), "key\n");
    assert.equal(String(await agent.ask("strip")), "key");
    await agent.said(new RegExp(`keep: key sent after .*, from command ${program}\n`));
  });

  test("any bytes are a key, and its environment is bare", async () => {
    const bytes = createCipheriv("aes-128-ctr", Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(4096));
    writeFileSync(at("key.bin"), bytes);
    const binary = script("binary", `exec cat ${at("key.bin")}`);
    const environment = script("environment", "exec /usr/bin/env");
    configure({ b: "/nowhere", e: "/nowhere" }, exec("b", binary) + exec("e", environment));
    await using agent = await startAgent({ folder });
    assert.deepEqual(await agent.ask("b"), bytes);
    const lines = String(await agent.ask("e")).split("\n");
    assert.deepEqual(lines.filter((line) => !/^(_|PWD|SHLVL|OLDPWD)=|^$/.test(line)).sort(), [
      "LC_ALL=C",
      "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    ]);
  });

  test("one that fails is tried again, with what it said kept out of the log", async () => {
    const program = script(
      "flaky",
      `test -e ${at("ready")} || { echo SWORDFISH >&2; touch ${at("ready")}; exit 6; }; echo key`,
    );
    configure({ v: "/nowhere" }, exec("v", program));
    await using agent = await startAgent({ folder });
    assert.equal(String(await agent.ask("v")), "key\n");
    assert.match(agent.log(), /flaky ended with status 6 \[agent\/command-failed\]; trying again/);
    assert.doesNotMatch(agent.log(), /SWORDFISH/);
  });

  test("one that says no, or is not there, is not tried again", async () => {
    const program = script("no", "exit 22");
    configure(
      { no: "/nowhere", absent: "/nowhere" },
      exec("no", program, "refusal-status = [22]") + exec("absent", at("absent")),
    );
    await using agent = await startAgent({ folder });
    assert.equal((await agent.ask("no")).length, 0);
    assert.match(agent.log(), /no: no key after .* refused the key \(status 22\) \[agent\/command-refused\]/);
    assert.equal((await agent.ask("absent")).length, 0);
    assert.match(agent.log(), /absent: no key after .*\[system\/missing-program\]/);
  });

  test("one that hangs, with a child of its own, or prints too much, ends with the deadline", async () => {
    const hangs = script("hangs", `sleep 1000 & echo $! > ${at("child.pid")}; sleep 1000`);
    const floods = script("floods", "exec cat /dev/zero");
    configure(
      { hangs: "/nowhere", floods: "/nowhere" },
      exec("hangs", hangs, 'timeout = "500ms"\ndeadline = "1s"') + exec("floods", floods, 'deadline = "1s"'),
    );
    await using agent = await startAgent({ folder });
    assert.equal((await agent.ask("hangs")).length, 0);
    assert.match(agent.log(), /did not end within 500 ms \[system\/timeout\]; trying again/);
    assert.match(agent.log(), /hangs: no key after .*\[agent\/deadline\]/);
    await untilGone(readFileSync(at("child.pid"), "utf8").trim());
    assert.equal((await agent.ask("floods")).length, 0);
    assert.match(agent.log(), /printed more than 8388608 bytes \[system\/output-too-large\]/);
  });
});

function noClevis(): string | false {
  return spawnSync("clevis", []).error === undefined ? false : "clevis is not installed";
}

/** Ended, whether or not init has taken note of it. */
async function untilGone(pid: string): Promise<void> {
  for (;;) {
    try {
      if (/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "latin1"))) return;
    } catch {
      return;
    }
    await new Promise((wake) => setTimeout(wake, 10));
  }
}
