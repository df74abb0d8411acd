import assert from "node:assert/strict";
import { copyFileSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import Database from "better-sqlite3";
import { readVolumeHeader } from "../../../src/luks/header/header.ts";
import { identityOf } from "../../../src/luks/header/identity.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { configureAgent, startAgent } from "../../support/agent/process.ts";
import { until } from "../../support/entry-points.ts";
import { nightlatch, type Served, serve } from "../../support/serve.ts";
import { forge, makeFolder, makeVolume, opens, PASSPHRASE, patch, runTool } from "../../support/volumes.ts";

const UUID = "11111111-2222-3333-4444-555555555555";
const THIEFS = "what the thief knows";
const OTHER_UUID = "11111111-2222-3333-4444-666666666666";

describe("a volume in the place of the one that was bound", () => {
  const folder = makeFolder();
  const at = (name: string) => join(folder, name);
  const state = at("state");
  let own: Served;
  let thief: Served;

  before(async () => {
    writeFileSync(at("passphrase"), PASSPHRASE);
    own = await serve();
    thief = await serve();
    for (const [name, server, state, uuid, type] of [
      ["genuine", own, at("state"), UUID, "luks2"],
      ["rogue", thief, at("thiefs-state"), UUID, "luks2"],
      ["stranger", thief, at("thiefs-state"), OTHER_UUID, "luks2"],
      ["genuine1", own, at("state"), OTHER_UUID, "luks1"],
      ["rogue1", thief, at("thiefs-state"), OTHER_UUID, "luks1"],
    ] as const) {
      const image = makeVolume(folder, name, type, ["--uuid", uuid]);
      const { invite } = (await server.json("machine", "invite", name)) as { invite: string };
      const argument = name === "genuine" || name === "rogue" ? [invite] : [];
      await succeed("bind", image, "latch", ...argument, "--key-file", at("passphrase"), "--state", state);
    }
  });
  after(async () => {
    for (const server of [own, thief]) await server[Symbol.asyncDispose]();
  });

  async function succeed(...args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await nightlatch(...args);
    assert.equal(status, 0, `${args.join(" ")}: ${stderr}`);
    return stdout;
  }
  const accept = (device: string, ...more: readonly string[]) =>
    nightlatch("accept", device, "--key-file", at("passphrase"), "--state", state, ...more);

  /** The disk as the machine finds it. */
  const insert = (name: string) => copyFileSync(at(name), at("disk"));
  const keySlot = (key: Buffer) => key.length > 0 && opens(at("disk"), key, 1);
  test("bind has put it on record, readable by root alone", () => {
    const path = join(state, `volume-${UUID}.json`);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const record = JSON.parse(readFileSync(path, "utf8"));
    assert.deepEqual([record.volume, record.by, record.cipher], [UUID, "person", "aes-xts-plain64"]);
    const [latch] = record.latches;
    assert.ok(latch.url.startsWith(`${own.url}/latch/`));
    assert.ok(existsSync(join(state, `server-${latch.server}.json`)));
  });

  test("the agent, check, status, unlock and the server: each knows of it, and the genuine one opens again", async () => {
    configureAgent(folder, { backup: at("disk") });
    insert("genuine");
    await using agent = await startAgent({ folder });
    const files = ["--crypttab", at("crypttab"), "--config", at("agent.toml"), "--state", state];
    assert.ok(keySlot(await agent.ask("backup")));
    // The agent writes it down once the boot has its key.
    const recorded = () => JSON.parse(readFileSync(join(state, `volume-${UUID}.json`), "utf8")) as { names: string[] };
    await until(() => recorded().names.includes("backup"), "the record has the name");

    insert("rogue");
    assert.equal((await agent.ask("backup")).length, 0);
    await agent.said(
      /backup: no key after .* is not the volume that was bound: it has another volume key .*\[luks\/other-volume\]/,
    );
    const host = new URL(own.url).host;
    await agent.said(new RegExp(`backup: ${host} has been told, and has confirmed it`));
    assert.doesNotMatch(agent.log(), new RegExp(new URL(thief.url).host), "nobody asks the thief's server");

    const checked = await nightlatch("check", ...files, "--fstab", at("none"), "--socket", "/run/x.sock", "--json");
    const { findings } = JSON.parse(checked.stdout) as {
      findings: { severity: string; text: string; remedy: string }[];
    };
    const finding = findings.find(({ text }) => text.includes("[luks/other-volume]"));
    assert.equal(finding?.severity, "error");
    assert.ok(finding.remedy.endsWith(`nightlatch accept ${at("disk")}`));
    assert.match((await nightlatch("status", ...files)).stdout, /does not open now\n.*\[luks\/other-volume\]/);
    const unlocked = await nightlatch("unlock", at("disk"), "--test", "--state", state);
    assert.match(unlocked.stderr, /\[luks\/other-volume\]/);
    assert.equal(unlocked.status, 1);

    insert("genuine");
    assert.ok(keySlot(await agent.ask("backup")));
    await agent.stop();
  });

  test("another UUID under the same name, by a path that stays; LUKS1 alike", async () => {
    configureAgent(folder, { backup: at("disk"), old: at("disk1") });
    await using agent = await startAgent({ folder });
    insert("stranger");
    rmSync(join(state, `volume-${OTHER_UUID}.json`), { force: true });
    assert.equal((await agent.ask("backup")).length, 0);
    await agent.said(new RegExp(`has the UUID ${OTHER_UUID}, and ${UUID} is on record`));

    copyFileSync(at("genuine1"), at("disk1"));
    assert.ok(opens(at("disk1"), await agent.ask("old"), 1), "a first use");
    await agent.said(/old: on record from now on/);
    copyFileSync(at("rogue1"), at("disk1"));
    assert.equal((await agent.ask("old")).length, 0);
    await agent.stop();
  });

  test("cryptsetup convert makes no other volume of one", async () => {
    const image = makeVolume(folder, "converted", "luks1");
    const former = identityOf(await readVolumeHeader(nodeSystem, image));
    runTool(["cryptsetup", "convert", "-q", "--type", "luks2", image]);
    const header = await readVolumeHeader(nodeSystem, image);
    assert.equal(header.version, 2);
    assert.deepEqual(identityOf(header), former);
  });

  test("without a record the first use makes one, as after an upgrade; where agent.toml asks for one, a person does", async () => {
    const mine = join(state, `volume-${UUID}.json`);
    rmSync(mine);
    insert("genuine");
    configureAgent(folder, { backup: at("disk") }, 'trust = "recorded"');
    await using agent = await startAgent({ folder });
    assert.equal((await agent.ask("backup")).length, 0);
    await agent.said(/is not on record .*\[luks\/not-recorded\]/);
    configureAgent(folder, { backup: at("disk") });
    assert.ok(keySlot(await agent.ask("backup")));
    await agent.said(/backup: on record from now on/);
    assert.equal(JSON.parse(readFileSync(mine, "utf8")).by, "first-use");
    insert("rogue");
    assert.equal((await agent.ask("backup")).length, 0);

    rmSync(mine);
    insert("genuine");
    configureAgent(folder, { backup: at("disk") }, '[volume.backup]\ntrust = "recorded"');
    assert.equal((await agent.ask("backup")).length, 0);
    assert.equal((await accept(at("disk"))).status, 0);
    assert.ok(keySlot(await agent.ask("backup")));
    await agent.stop();
  });

  test("what its owner made another volume is accepted by a passphrase of it, and by that alone", async () => {
    insert("genuine");
    assert.equal((await accept(at("disk"))).status, 0);
    const again = JSON.parse((await accept(at("disk"), "--json")).stdout) as { replaced: boolean };
    assert.equal(again.replaced, false);
    configureAgent(folder, { backup: at("disk") });
    await using agent = await startAgent({ folder });
    assert.ok(keySlot(await agent.ask("backup")));

    const changes = ["reencrypt", "-q", "--key-file", at("passphrase"), "--force-offline-reencrypt"];
    runTool([
      "cryptsetup",
      ...changes,
      "--key-slot",
      "0",
      "--pbkdf",
      "pbkdf2",
      "--pbkdf-force-iterations",
      "1000",
      at("disk"),
    ]);
    writeFileSync(at("wrong"), "not it");
    const wrong = await nightlatch("accept", at("disk"), "--key-file", at("wrong"), "--state", state);
    assert.match(wrong.stderr, /\[luks\/wrong-passphrase\]/);
    const bound = await nightlatch(
      "bind",
      at("disk"),
      "latch",
      "--replace",
      "--key-file",
      at("passphrase"),
      "--state",
      state,
    );
    assert.match(`${bound.stderr}`, /has another volume key, or another cipher, than this machine had on record/);
    const accepted = await accept(at("disk"), "--json");
    assert.equal(accepted.status, 0, accepted.stderr);
    const key = await agent.ask("backup");
    assert.ok(key.length > 0 && opens(at("disk"), key), agent.log());
    insert("genuine");
    assert.equal((await agent.ask("backup")).length, 0, "what it was before is another volume now");
    assert.equal((await accept(at("disk"))).status, 0);
    assert.ok(keySlot(await agent.ask("backup")));
    await agent.stop();
  });

  test("what passes for the genuine volume, cryptsetup does not open with a key of the thief's", async () => {
    const genuine = await readVolumeHeader(nodeSystem, at("genuine"));
    const expected = identityOf(genuine);
    // The thief's own keyslot and its area, in the genuine header, by every assignment of digests
    // that he could write.
    const rogueImage = join(folder, "other");
    writeFileSync(rogueImage, Buffer.alloc(20 << 20));
    const cheap = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--uuid", UUID];
    runTool(["cryptsetup", "luksFormat", "-q", ...cheap, rogueImage, "-"], THIEFS);
    const rogue = readFileSync(rogueImage);
    const jsonOf = (image: Buffer) => JSON.parse(image.toString("utf8", 4096, image.indexOf(0, 4096)));
    const his = jsonOf(rogue);
    const hisArea = Number(his.keyslots["0"].area.offset);
    let passed = 0;
    for (const own of [["0"], [], ["0", "1"]]) {
      for (const [hisSegments, genuineSegments] of [
        [["0"], ["0"]],
        [["0"], []],
        [[], ["0"]],
        [[], []],
      ]) {
        copyFileSync(at("genuine"), at("hybrid"));
        forge(at("hybrid"), (text) => {
          const json = JSON.parse(text);
          json.keyslots["0"] = his.keyslots["0"];
          json.digests["0"].segments = genuineSegments;
          json.digests["0"].keyslots = own.includes("0") ? ["0", "1"] : ["1"];
          json.digests["1"] = {
            ...his.digests["0"],
            segments: hisSegments,
            keyslots: own.includes("1") || own.length === 0 ? ["0"] : [],
          };
          return JSON.stringify(json);
        });
        patch(at("hybrid"), [[hisArea, rogue.subarray(hisArea, hisArea + Number(his.keyslots["0"].area.size))]]);
        const identity = identityOf(await readVolumeHeader(nodeSystem, at("hybrid")));
        if (JSON.stringify(identity) !== JSON.stringify(expected)) continue;
        passed++;
        // Without a slot, as systemd-cryptsetup opens it: for a named one a test takes keyslots of
        // any key.
        assert.ok(!opens(at("hybrid"), THIEFS), `${own} ${hisSegments} ${genuineSegments}`);
      }
    }
    // His data behind the owner's keyslot: the owner's passphrase opens that, and accepts nothing.
    copyFileSync(at("genuine"), at("hybrid"));
    forge(at("hybrid"), (text) => {
      const json = JSON.parse(text);
      json.segments["1"] = { ...json.segments["0"], flags: ["backup-previous"] };
      json.digests["0"].segments = ["1"];
      json.digests["1"] = { ...his.digests["0"], segments: ["0"], keyslots: [] };
      return JSON.stringify(json);
    });
    const accepted = await accept(at("hybrid"));
    assert.match(accepted.stderr, /\[luks\/not-proved\]/);
    assert.ok(passed > 0, "some are judged to be the genuine volume");
    assert.ok(opens(rogueImage, THIEFS), "it is the key of his own volume");
  });

  test("with the last binding the record goes", async () => {
    insert("genuine");
    await succeed("accept", at("disk"), "--key-file", at("passphrase"), "--state", state);
    assert.ok(existsSync(join(state, `volume-${UUID}.json`)));
    const lastOne = ["--slot", "1", "--key-file", at("passphrase"), "--state", state];
    await succeed("unbind", at("disk"), ...lastOne);
    assert.ok(!existsSync(join(state, `volume-${UUID}.json`)));
  });

  test("the server's log has had each of it once, and is whole", async () => {
    await own.end("SIGTERM");
    const store = new Database(join(own.folder, "store.sqlite"), { readonly: true });
    const bodies = store.prepare("SELECT body FROM entry").pluck().all() as Buffer[];
    store.close();
    const entries = bodies.map(
      (body) => JSON.parse(String(body)) as { kind: string; reason?: string; subject?: string },
    );
    const reports = entries.filter(({ kind, reason }) => kind === "refusal" && reason === "volume/other");
    assert.ok(reports.length > 0);
    assert.equal(new Set(reports.map(({ subject }) => subject)).size, reports.length, "each latch once an hour");
    const latches = entries.flatMap((entry) => ("latch" in entry ? [entry.latch] : []));
    assert.ok(reports.every(({ subject }) => latches.includes(subject)));
    await succeed("audit", "verify", "--data", own.folder);
  });
});
