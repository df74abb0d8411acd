import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { askForKey } from "../../../script/key-client.ts";
import type { Advertisement } from "../../../src/formats/tang/tang.ts";
import { fetchAdvertisement, sealToAdvertisement } from "../../../src/pins/tang/tang.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import {
  type AgentProcess,
  answering,
  configureAgent,
  type Door,
  makeDoor,
  startAgent,
} from "../../support/agent/process.ts";
import { shippedAgent } from "../../support/agent/shipped.ts";
import { holdReads, noHolding } from "../../support/agent/stuck.ts";
import { clevisToken } from "../../support/clevis-token.ts";
import { noTangd, startTangd, type Tangd } from "../../support/tangd.ts";
import { addSlot, addToken, makeFolder, makeVolume, opens, PASSPHRASE, patch } from "../../support/volumes.ts";

/** The passphrase of the slot that is bound. */
const KEY = "YSBwYXNzcGhyYXNlIGFzIGxvbmcgYXMgdGhlIHJlYWwgb25lcyBhcmU";
const folder = makeFolder();
const at = (name: string) => join(folder, name);

const configure = (volumes: Readonly<Record<string, string>>, config = "") => configureAgent(folder, volumes, config);

describe("the agent", { skip: noTangd }, () => {
  let tangd: Tangd;
  let advertisement: Advertisement;
  let door: Door;
  let deaf: Door;
  let bare: string;

  before(async () => {
    tangd = await startTangd();
    advertisement = await fetchAdvertisement(nodeSystem, tangd.url, { timeoutMs: 20_000 });
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
      addToken(at(name), clevisToken(jwe, 1));
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
      await agent.said(/v: no key after 1\.\d+ s: no key came in time \[agent\/deadline\]/);
    });
  });

  test("what our own server refuses closes at once, with nothing", async () => {
    await using locked = await answering([403, '{"error":"machine/locked"}']);
    await using revoked = await answering([410, '{"error":"latch/revoked"}']);
    configure({ l: bound("locked.img", locked.url), r: bound("revoked.img", revoked.url) });
    await withAgent(async (agent) => {
      assert.equal((await agent.ask("l")).length, 0);
      assert.equal((await agent.ask("r")).length, 0);
      await agent.said(/l: no key after .* refuses to release the key \[pin\/locked\]/);
      await agent.said(/r: no key after .* has revoked the key for good \[pin\/revoked\]/);
      assert.equal(locked.asked() + revoked.asked(), 2);
    });
  });

  test("whatever else answers in the server's place passes: it is asked again", async () => {
    const strangers: readonly (readonly [number, string])[] = [
      [404, ""],
      [404, "404 page not found\n"],
      [403, "<html>forbidden</html>"],
      [410, ""],
      [401, ""],
      [407, ""],
      [302, ""],
      [400, ""],
      [200, "<html>log in</html>"],
      [204, ""],
      [521, ""],
    ];
    await using servers = new AsyncDisposableStack();
    const volumes: Record<string, string> = {};
    for (const [index, stranger] of strangers.entries()) {
      const server = servers.use(await answering(stranger, { after: 2, target: tangd.url }));
      volumes[`v${index}`] = bound(`stranger${index}.img`, server.url);
    }
    configure(volumes);
    await withAgent(async (agent) => {
      const names = Object.keys(volumes);
      const keys = await Promise.all(names.map((name) => agent.ask(name)));
      for (const [index, name] of names.entries()) assert.equal(String(keys[index]), KEY, `${name}: ${agent.log()}`);
      await agent.said(/v0: token 0 .* does not know the key .* \[pin\/unknown-key\]; trying again/);
    });
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
        await agent.said(new RegExp(`${volume}: no key after .*\\[${code}\\]`));
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

  test("disks that never answer keep no other volume waiting, nor a later one", { skip: noHolding }, async () => {
    const stuck = Array.from({ length: 6 }, (_, index) => bound(`stuck${index}.img`, tangd.url));
    const names = stuck.map((_, index) => `stuck${index}`);
    const config = names.map((name) => `[volume.${name}]\ndeadline = "1s"\n`).join("");
    const volumes = Object.fromEntries(names.map((name) => [name, at(`${name}.img`)]));
    configure({ ...volumes, good: bound("good.img", tangd.url) }, config);
    const held = holdReads(stuck);
    try {
      await using agent = await startAgent({ folder });
      const asked = names.map((name) => agent.ask(name));
      assert.equal(String(await agent.ask("good")), KEY);
      for (const key of await Promise.all(asked)) assert.equal(key.length, 0);
      await agent.said(/stuck5: no key after .*stuck5\.img could not be read in time \[agent\/deadline\]/);
      assert.equal(String(await agent.ask("good")), KEY);
      assert.equal((await agent.ask("stuck0")).length, 0);
      held[Symbol.dispose]();
      assert.equal(String(await agent.ask("stuck0")), KEY); // it has come back to life
    } finally {
      held[Symbol.dispose]();
    }
  });

  test("an agent with a read that does not return stays: systemd would start no other", {
    skip: noHolding,
  }, async () => {
    const stuck = bound("kept.img", tangd.url);
    configure({ stuck, good: bound("kept-good.img", tangd.url) }, '[volume.stuck]\ndeadline = "1s"');
    const held = holdReads([stuck]);
    const agent = await startAgent({ folder, args: ["--idle", "0"], activated: true });
    try {
      assert.equal((await agent.ask("stuck")).length, 0);
      assert.equal(String(await agent.ask("good")), KEY);
      assert.equal(String(await agent.ask("good")), KEY);
    } finally {
      held[Symbol.dispose]();
    }
    assert.equal(await agent.ended, 0);
  });

  test("a crypttab that cannot be read ends with nothing", { skip: noHolding }, async () => {
    configure({ v: "/nowhere" }, 'deadline = "1s"');
    const held = holdReads([at("crypttab")]);
    await withAgent(async (agent) => {
      assert.equal((await agent.ask("v")).length, 0);
      await agent.said(/v: no key after .*crypttab could not be read in time \[agent\/deadline\]/);
      held[Symbol.dispose]();
    });
  });

  test("pipes in the place of disks are told off, and keep nothing waiting", async () => {
    const names = Array.from({ length: 5 }, (_, index) => `pipe${index}`);
    for (const name of names) assert.equal(spawnSync("mkfifo", [at(name)]).status, 0);
    const pipes = Object.fromEntries(names.map((name) => [name, at(name)]));
    configure({ ...pipes, good: bound("beside-pipes.img", tangd.url) });
    await withAgent(async (agent) => {
      for (const key of await Promise.all(names.map((name) => agent.ask(name)))) assert.equal(key.length, 0);
      await agent.said(/pipe4 is neither a block device nor a file \[file\/wrong-kind\]/);
      assert.equal(String(await agent.ask("good")), KEY);
    });
  });

  test("a detached header is read where crypttab says it is", async () => {
    const header = bound("header.img", tangd.url);
    configure({});
    writeFileSync(at("crypttab"), `v /nowhere /run/x.sock luks,header=${header}\n`);
    await withAgent(async (agent) => assert.equal(String(await agent.ask("v")), KEY));
  });

  test("a log that nobody reads any more takes no volume's key", async () => {
    configure({ v: bound("unlogged.img", tangd.url) });
    const agent = await startAgent({ folder });
    assert.equal(String(await agent.ask("v")), KEY);
    agent.process.stderr?.destroy();
    for (let round = 0; round < 3; round++) assert.equal(String(await agent.ask("v")), KEY);
    assert.equal(await agent.stop(), 0);
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

  test("SIGTERM ends an activated one at once, however long it may be idle", async () => {
    configure({ v: bound("stopped-activated.img", deaf.url) });
    const agent = await startAgent({ folder, args: ["--idle", "3600"], activated: true });
    const key = agent.ask("v");
    const other = agent.ask("unknown");
    await agent.said(/unknown: no key/);
    await other;
    assert.equal(await agent.stop(), 0);
    assert.equal((await key).length, 0);
  });

  test("a mistake in agent.toml keeps no volume shut that has a binding", async () => {
    configure({ v: bound("mistake.img", tangd.url) }, "deadline = 60");
    await withAgent(async (agent) => {
      assert.equal(String(await agent.ask("v")), KEY);
      await agent.said(/agent\.toml: deadline is not a duration such as "20s" \[agent\/bad-config\]/);
    });
  });

  test("a mistake in agent.toml does not take back that only what is on record is to be trusted", async () => {
    configure({ v: bound("strict.img", tangd.url) }, 'trust = "recorded"\ndeadline = 60');
    await withAgent(
      async (agent) => {
        assert.equal((await agent.ask("v")).length, 0);
        await agent.said(/v: no key after .* is not on record .*\[luks\/not-recorded\]/);
      },
      ["--state", at("fresh-state")],
    );
  });

  test("started by systemd at the first connection, it serves and ends by itself", async () => {
    configure({ v: bound("activated.img", tangd.url) });
    const agent = await startAgent({ folder, args: ["--idle", "1"], activated: true });
    assert.equal(String(await agent.ask("v")), KEY);
    assert.equal(await agent.ended, 0);
  });

  test("a second agent on the same socket is told off", async () => {
    configure({});
    await withAgent(async (agent) => {
      const [program = "", ...args] = shippedAgent();
      const { status, stderr } = spawnSync(program, [...args, "--socket", agent.socket], { encoding: "utf8" });
      assert.equal(status, 1);
      assert.match(stderr, /another program listens on .* already \[agent\/socket\]/);
    });
  });
});

function noClevis(): string | false {
  return spawnSync("clevis", []).error === undefined ? false : "clevis is not installed";
}
