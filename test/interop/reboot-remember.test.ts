import assert from "node:assert/strict";
import { before, test } from "node:test";
import { NO_WISH } from "../../src/boot/entries.ts";
import { isError } from "../../src/core/errors.ts";
import { Secret } from "../../src/core/secret.ts";
import { readVolumeHeader } from "../../src/luks/header.ts";
import { listSlots } from "../../src/luks/slots.ts";
import { findAuthorities } from "../../src/reboot/authority.ts";
import { KEXEC } from "../../src/reboot/carrier-kexec.ts";
import { listDisposables } from "../../src/reboot/clean-up.ts";
import { planReboot } from "../../src/reboot/plan.ts";
import { forget, remember, rememberedKey } from "../../src/reboot/remember.ts";
import { stageBoot } from "../../src/reboot/stage.ts";
import { nodeSystem } from "../../src/system/node.ts";
import { BOOT, device, makeDevices, NAMES, PASSPHRASE, noCryptsetup as skip, world } from "./reboot-world.ts";

const STATE = "/var/lib/nightlatch";
const EARLIER_BOOT = "88888888-2222-3333-4444-555555555555";
const secret = (text: string) => Secret.copy(Buffer.from(text));
const slots = () => Promise.all(NAMES.map(async (name) => listSlots(await readVolumeHeader(nodeSystem, device(name)))));

before(async () => {
  if (skip === false) await makeDevices();
});

for (const [bootId, what] of [
  [BOOT, "waits for its reboot"],
  [EARLIER_BOOT, "has come back, and was not cleaned up yet"],
] as const) {
  test(`a remembered key is forgotten while what it staged ${what}`, { skip }, async () => {
    const untouched = await slots();
    const { system } = world();
    const openedBy = async (key: Secret) => {
      const plan = await planReboot(system, NO_WISH);
      return { plan, authorities: await findAuthorities(system, plan.volumes, [key], async () => null, null) };
    };
    const first = await openedBy(secret(PASSPHRASE));
    await remember(system, first.plan.volumes, first.authorities, STATE);
    const key = await rememberedKey(system, STATE);
    assert.ok(key);
    const { plan, authorities } = await openedBy(key);
    assert.deepEqual(
      [...authorities.values()].map(({ slot }) => slot),
      [1, 1, 1],
    );
    const context = { stateFolder: STATE, bootId, expires: 4_000_000_000 };
    await stageBoot(system, await KEXEC.prepare(system, plan), plan, authorities, context, () => {});
    const isLoaded = async () => (await system.readFile("/sys/kernel/kexec_loaded", 8)).toString().trim();
    const staged = async () => [(await listDisposables(system, STATE)).length, await isLoaded()];
    assert.deepEqual(await staged(), [3, "1"]);

    const devices = NAMES.map(device);
    await assert.rejects(forget(system, devices, secret("wrong"), STATE), (e) => isError(e, "reboot/wrong-key"));
    assert.deepEqual(await staged(), [3, "1"]);

    assert.equal(await forget(system, devices, secret(PASSPHRASE), STATE), 3);
    assert.deepEqual(await staged(), [0, "0"]);
    assert.deepEqual(await slots(), untouched);
    assert.equal(await rememberedKey(system, STATE), null);
  });
}
