import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { askForKey } from "../../../script/key-client.ts";
import { encryptJwe, formatCompactJwe } from "../../../src/formats/jose/jwe.ts";
import type { Advertisement } from "../../../src/formats/tang/tang.ts";
import { fetchAdvertisement, sealToAdvertisement } from "../../../src/pins/tang/tang.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { type NameServer, noNameServer, startNameServer } from "../../support/agent/name-server.ts";
import { configureAgent, startAgent } from "../../support/agent/process.ts";
import { clevisToken } from "../../support/clevis-token.ts";
import { noTangd, startTangd, type Tangd } from "../../support/tangd.ts";
import { addSlot, addToken, makeFolder, makeVolume } from "../../support/volumes.ts";

const KEY = "YSBwYXNzcGhyYXNlIGFzIGxvbmcgYXMgdGhlIHJlYWwgb25lcyBhcmU";
const folder = makeFolder();
const at = (name: string) => join(folder, name);

/** Processes that ask for a name of the tests. */
function lookUps(name: string): number {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0").includes(name);
    } catch {
      return false;
    }
  }).length;
}

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 120_000;
  while (!condition()) {
    assert.ok(Date.now() < end, `not within two minutes: ${condition}`);
    await new Promise((wake) => setTimeout(wake, 20));
  }
}

describe("names of servers", { skip: noTangd || noNameServer }, () => {
  let tangd: Tangd;
  let names: NameServer;
  let advertisement: Advertisement;
  let bare: string;
  const url = (host: string) => `http://${host}:${new URL(tangd.url).port}`;

  before(async () => {
    tangd = await startTangd();
    names = await startNameServer(folder, "127.7.8.9", { "keys.answered.test": "127.0.0.1" });
    advertisement = await fetchAdvertisement(nodeSystem, tangd.url, { timeoutMs: 20_000 });
    // A header with room for as many tokens as LUKS2 allows.
    const room = ["--luks2-metadata-size", "512k", "--luks2-keyslots-size", "4m"];
    bare = makeVolume(folder, "bare.img", "luks2", room);
    addSlot(bare, KEY);
  });
  after(async () => {
    for (const disposable of [tangd, names]) await disposable[Symbol.asyncDispose]();
  });

  function bound(name: string, ...hosts: readonly string[]): string {
    copyFileSync(bare, at(name));
    for (const host of hosts) {
      const jwe = sealToAdvertisement(nodeSystem, url(host), advertisement, Buffer.from(KEY));
      addToken(at(name), clevisToken(jwe, 1));
    }
    return at(name);
  }

  test("names that nobody answers keep no other waiting: one of /etc/hosts, one that DNS answers, an address", async () => {
    const silent = Array.from({ length: 12 }, (_, index) => `keys${index}.silent.test`);
    configureAgent(folder, {
      silent: bound("silent.img", ...silent),
      hosts: bound("hosts.img", ...silent, "localhost"),
      dns: bound("dns.img", ...silent, "keys.answered.test"),
      address: bound("address.img", ...silent, "127.0.0.1"),
    });
    await using agent = await startAgent({ folder, through: names.through });
    const client = askForKey({ socket: agent.socket, volume: "silent" }).on("error", () => {});
    await until(() => silent.every((name) => names.asked(name) > 0));
    for (const volume of ["hosts", "dns", "address"]) {
      assert.equal(String(await agent.ask(volume)), KEY, `${volume}: ${agent.log()}`);
    }
    assert.equal(lookUps(silent[0] ?? ""), 1, "volumes that ask for the same name share one look-up");
    client.destroy();
    await agent.said(/silent: given up/);
    await agent.stop();
    await until(() => silent.every((name) => lookUps(name) === 0));
  });

  /**
   * One token that would take any of the servers: importing thirty takes cryptsetup its time. It
   * opens nothing.
   */
  function boundToAny(name: string, hosts: readonly string[]): string {
    copyFileSync(bare, at(name));
    const jwe = hosts.map((host) =>
      formatCompactJwe(sealToAdvertisement(nodeSystem, url(host), advertisement, Buffer.alloc(64, 1))),
    );
    const sss = { t: 1, p: Buffer.alloc(32, 0xff).toString("base64url"), jwe };
    const header = { alg: "dir", enc: "A256GCM", clevis: { pin: "sss", sss } } as const;
    const sealed = encryptJwe(header, nodeSystem.random(32), nodeSystem.random(12), Buffer.from(KEY));
    addToken(at(name), clevisToken(sealed, 1));
    return at(name);
  }

  test("more silent names than are asked for at once leave room for one that is answered", async () => {
    const volumes: Record<string, string> = {};
    for (let volume = 0; volume < 5; volume++) {
      const hosts = Array.from({ length: 30 }, (_, index) => `keys${index}.silent${volume}.test`);
      volumes[`v${volume}`] = boundToAny(`many${volume}.img`, hosts);
    }
    configureAgent(folder, { ...volumes, good: bound("among-many.img", "keys.answered.test") });
    await using agent = await startAgent({ folder, through: names.through });
    const clients = Object.keys(volumes).map((volume) =>
      askForKey({ socket: agent.socket, volume }).on("error", () => {}),
    );
    await until(() => names.asked("keys29.silent4.test") > 0);
    assert.equal(String(await agent.ask("good")), KEY, agent.log());
    for (const client of clients) client.destroy();
  });

  test("a command that has its answer does not wait for a name that has none", async () => {
    const volume = bound("test.img", "localhost", "keys.silent-beside.test");
    const [program, ...before] = names.through;
    const command = ["bin/nightlatch", "unlock", volume, "--test", "--json"];
    const child = spawn(program, [...before, ...command], { stdio: ["ignore", "pipe", "inherit"] });
    let printed = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      printed += text;
    });
    const [status] = await once(child, "close");
    assert.equal(status, 0);
    const { bindings } = JSON.parse(printed) as { bindings: { opens: boolean; error?: { message: string } }[] };
    assert.deepEqual(
      bindings.map(({ opens }) => opens),
      [true, false],
    );
    assert.match(
      bindings[1]?.error?.message ?? "",
      /^keys\.silent-beside\.test:\d+ has a name that nobody resolved within/,
    );
    assert.equal(lookUps("keys.silent-beside.test"), 0);
  });

  test("/etc/hosts means to us what it means to glibc", () => {
    const lines = [
      "127.0.0.1 localhost",
      "127.0.0.2 Keys.Example.test keys",
      "127.0.0.3\tother   # keys3",
      "127.0.0.4 keys",
      "#127.0.0.5 off",
      "127.0.0.6 two two",
      "not-an-address bad",
    ];
    writeFileSync(at("glibc-hosts"), `${lines.join("\n")}\n`);
    const [program, ...before] = names.through;
    const asked = ["localhost", "keys", "KEYS", "keys.example.test", "other", "two", "keys3", "off", "bad"];
    const script = `
      const { requestName } = await import(${JSON.stringify(join(import.meta.dirname, "../../../src/system/names.ts"))});
      for (const name of process.argv.slice(1)) {
        const found = await new Promise((give) => requestName().lookup(name, { all: true }, (_, list) => give(list || [])));
        console.log(name, found.map(({ address }) => address).sort().join());
      }`;
    const run = (argv: readonly string[]) => {
      const mount = `mount --bind ${at("glibc-hosts")} /etc/hosts && exec "$@"`;
      const exit = spawnSync(program, [...before, "sh", "-c", mount, "sh", ...argv], { encoding: "utf8" });
      return exit.stdout.trim();
    };
    // The names that are in no line would ask DNS, which is silent: those are for the unit test.
    const there = asked.slice(0, 6);
    const ours = run([process.execPath, "--input-type=module", "-e", script, ...there]).split("\n");
    const glibc = there.map((name) => {
      const addresses = run(["getent", "ahosts", name])
        .split("\n")
        .map((line) => line.split(/\s+/)[0] ?? "");
      return `${name} ${[...new Set(addresses)].sort().join()}`;
    });
    assert.deepEqual(ours, glibc);
  });
});
