import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { isError } from "../../../src/core/errors.ts";
import { Secret } from "../../../src/core/secret.ts";
import { opensSlot } from "../../../src/luks/cryptsetup/keyslots.ts";
import { listRecords } from "../../../src/luks/disposable-record.ts";
import { readVolumeHeader } from "../../../src/luks/header/header.ts";
import { listSlots } from "../../../src/luks/header/slots.ts";
import { removeDisposables, stageDisposableKey } from "../../../src/reboot/stage/disposable.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import type { System } from "../../../src/system/port.ts";

const folder = mkdtempSync(join(tmpdir(), "nightlatch-disposable-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const PASSPHRASE = "a passphrase\nwith two lines";
const passphrase = () => Secret.copy(Buffer.from(PASSPHRASE));
const FAST = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
const skip = spawnSync("cryptsetup", ["--version"]).status === 0 ? false : "cryptsetup is not installed";

function cryptsetup(args: readonly string[], input: string | Buffer = ""): void {
  const { status, stderr } = spawnSync("cryptsetup", args, { input });
  assert.equal(status, 0, `${args.join(" ")}: ${stderr}`);
}

let count = 0;
function makeVolume(type: "luks1" | "luks2"): string {
  const device = join(folder, `volume-${++count}`);
  writeFileSync(device, "");
  truncateSync(device, 20 << 20);
  cryptsetup(["luksFormat", "-q", "--type", type, ...FAST, "--key-file", "-", device], PASSPHRASE);
  return device;
}

const context = (bootId = "11111111-2222-3333-4444-555555555555") => ({
  stateFolder: join(folder, "state"),
  bootId,
  expires: 4_000_000_000,
});
const stage = (system: System, device: string) =>
  stageDisposableKey(system, { device }, { passphrase: passphrase(), slot: 0 }, context());
const slotsOf = async (device: string) => listSlots(await readVolumeHeader(nodeSystem, device));
const recordsOf = async (device: string) =>
  listRecords(nodeSystem, context().stateFolder, await readVolumeHeader(nodeSystem, device));
const removeAll = (device: string) => removeDisposables(nodeSystem, { device }, context().stateFolder, () => true);

for (const type of ["luks2", "luks1"] as const) {
  test(`${type}: staged, the key opens its slot; removed, all is as before`, { skip }, async () => {
    const device = makeVolume(type);
    const before = await slotsOf(device);
    const key = await stage(nodeSystem, device);
    const [held] = await recordsOf(device);
    assert.ok(held !== undefined);
    assert.equal(held.record.guard.slot, 0);
    assert.equal(key.lengthBytes, 64);
    const tried = (await slotsOf(device)).map(({ number }) => number);
    const { slot } = held.record;
    assert.deepEqual(tried, type === "luks1" ? [0, slot] : [slot, 0], "in this order by whoever names no slot");
    assert.equal(await opensSlot(nodeSystem, { device }, slot, key), true);
    assert.deepEqual(await removeDisposables(nodeSystem, { device }, context().stateFolder, () => false), []);
    const removed = await removeAll(device);
    assert.deepEqual(removed, [held.record]);
    assert.deepEqual(await slotsOf(device), before);
    assert.deepEqual(await recordsOf(device), []);
    assert.equal(await opensSlot(nodeSystem, { device }, 0, passphrase()), true);
  });

  test(`${type}: cut off before or after any step, the next run finds what is left and removes it`, {
    skip,
  }, async () => {
    const device = makeVolume(type);
    const before = await slotsOf(device);
    let steps = 0;
    for (let cutAt = 1; ; cutAt++) {
      for (const when of ["before", "after"] as const) {
        const world = cutOff(cutAt, when);
        await assertCut(() => stage(world.system, device), world);
        steps = world.steps();
        await removeAll(device);
        assert.deepEqual(await slotsOf(device), before, `cut off ${when} step ${cutAt}`);
        assert.deepEqual(await recordsOf(device), []);
      }
      if (steps < cutAt) break;
    }
    assert.equal(steps, type === "luks1" ? 2 : 3, "the record, the slot, and for LUKS2 its priority");
    assert.equal(await opensSlot(nodeSystem, { device }, 0, passphrase()), true);
  });

  test(`${type}: the removal cut off at any step is finished by the next`, { skip }, async () => {
    const device = makeVolume(type);
    const before = await slotsOf(device);
    for (let cutAt = 1; cutAt <= 3; cutAt++) {
      for (const when of ["before", "after"] as const) {
        (await stage(nodeSystem, device)).wipe();
        const world = cutOff(cutAt, when);
        await assertCut(() => removeDisposables(world.system, { device }, context().stateFolder, () => true), world);
        await removeAll(device);
        assert.deepEqual(await slotsOf(device), before);
        assert.deepEqual(await recordsOf(device), []);
      }
    }
  });

  test(`${type}: a slot is left alone where the one that opened the volume has changed`, { skip }, async () => {
    const device = makeVolume(type);
    (await stage(nodeSystem, device)).wipe();
    const change = [
      "luksChangeKey",
      "-q",
      "--key-slot",
      "0",
      ...FAST,
      "--key-file",
      "-",
      "--keyfile-size",
      String(PASSPHRASE.length),
    ];
    const other = join(folder, "other-passphrase");
    writeFileSync(other, "another one");
    cryptsetup([...change, device, other], PASSPHRASE);
    await assert.rejects(
      removeAll(device),
      (error) => isError(error, "reboot/left-over") && /luksKillSlot/.test(String(error.remedy)),
    );
    assert.equal((await slotsOf(device)).length, 2);
    assert.equal((await recordsOf(device)).length, 1);
  });

  test(`${type}: a slot that somebody else put in the same place stays`, { skip }, async () => {
    const device = makeVolume(type);
    (await stage(nodeSystem, device)).wipe();
    const [held] = await recordsOf(device);
    const slot = String(held?.record.slot);
    cryptsetup(["luksKillSlot", "-q", device, slot]);
    const size = String(PASSPHRASE.length);
    cryptsetup(
      [
        "luksAddKey",
        "-q",
        "--key-slot",
        slot,
        ...FAST,
        "--key-file",
        "-",
        "--keyfile-size",
        size,
        "--new-keyfile-size",
        "6",
        device,
        "-",
      ],
      `${PASSPHRASE}theirs`,
    );
    assert.equal((await removeAll(device)).length, 1);
    assert.equal((await slotsOf(device)).length, 2);
    assert.equal(await opensSlot(nodeSystem, { device }, Number(slot), Secret.copy(Buffer.from("theirs"))), true);
  });

  test(`${type}: no slot is free`, { skip }, async () => {
    const device = makeVolume(type);
    const total = type === "luks1" ? 8 : 32;
    const size = String(PASSPHRASE.length);
    for (let slot = 1; slot < total; slot++) {
      cryptsetup(
        [
          "luksAddKey",
          "-q",
          ...FAST,
          "--key-file",
          "-",
          "--keyfile-size",
          size,
          "--new-keyfile-size",
          "2",
          device,
          "-",
        ],
        `${PASSPHRASE}${String(slot).padStart(2, "0")}`,
      );
    }
    const before = await slotsOf(device);
    await assert.rejects(stage(nodeSystem, device), (error) => isError(error, "reboot/slots-full"));
    assert.deepEqual(await slotsOf(device), before);
    assert.deepEqual(await recordsOf(device), []);
  });
}

test("LUKS1's record is for root alone", { skip }, async () => {
  const device = makeVolume("luks1");
  (await stage(nodeSystem, device)).wipe();
  const { uuid } = await readVolumeHeader(nodeSystem, device);
  assert.equal(statSync(join(context().stateFolder, `disposable-${uuid}.json`)).mode & 0o777, 0o600);
  await removeAll(device);
});

class PowerCut extends Error {}

/**
 * A system whose every change stops for good at one step: nothing that is tried after it happens.
 */
function cutOff(cutAt: number, when: "before" | "after"): { system: System; steps: () => number } {
  let steps = 0;
  const change = async <T>(act: () => Promise<T>): Promise<T> => {
    steps++;
    if (steps > cutAt || (steps === cutAt && when === "before")) throw new PowerCut();
    const result = await act();
    if (steps === cutAt) throw new PowerCut();
    return result;
  };
  const system: System = {
    ...nodeSystem,
    run: (command) => {
      const changes = command.argv.some((arg) => ["luksAddKey", "luksKillSlot", "config", "token"].includes(arg));
      return changes ? change(() => nodeSystem.run(command)) : nodeSystem.run(command);
    },
    writeFile: (path, bytes, mode) => change(() => nodeSystem.writeFile(path, bytes, mode)),
    removeFile: (path) => change(() => nodeSystem.removeFile(path)),
  };
  return { system, steps: () => steps };
}

/** What is cut off ends in the cut itself; what ends before it, ends well. */
async function assertCut(act: () => Promise<unknown>, world: { steps: () => number }): Promise<void> {
  try {
    await act();
  } catch (error) {
    assert.ok(error instanceof PowerCut, String(error));
    return;
  }
  assert.ok(world.steps() > 0);
}
