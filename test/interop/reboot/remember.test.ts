import assert from "node:assert/strict";
import { before, test } from "node:test";
import { DEFAULT_ENTRY } from "../../../src/boot/entry/entries.ts";
import { command as reboot } from "../../../src/cli/commands/reboot/reboot.ts";
import { isError } from "../../../src/core/errors.ts";
import { Secret } from "../../../src/core/secret.ts";
import { rememberedKey } from "../../../src/luks/remembered-key.ts";
import { listDisposables } from "../../../src/reboot/clean-up.ts";
import { planReboot } from "../../../src/reboot/plan/plan.ts";
import { remember, removeRememberedKey } from "../../../src/reboot/remember.ts";
import { findAuthorities, KeyRing } from "../../../src/reboot/stage/authority.ts";
import { KEXEC } from "../../../src/reboot/stage/carrier-kexec.ts";
import { stageBoot } from "../../../src/reboot/stage/stage.ts";
import type { RunRequest } from "../../../src/system/port.ts";
import { PowerCut } from "../../support/faults.ts";
import {
  BOOT,
  device,
  makeDevices,
  NAMES,
  PASSPHRASE,
  noCryptsetup as skip,
  slots,
  type World,
  world,
} from "../../support/reboot/world.ts";
import { runCommand } from "../../support/terminal.ts";
import { opens, runTool } from "../../support/volumes.ts";

const STATE = "/var/lib/nightlatch";
const EARLIER_BOOT = "88888888-2222-3333-4444-555555555555";
const secret = (text: string) => Secret.copy(Buffer.from(text));
const nobody = { recover: async () => null, ask: null };
const DEVICES = NAMES.map(device);

before(async () => {
  if (skip === false) await makeDevices();
});

/** Remembered, and staged by what is remembered. */
async function stagedByKey(bootId: string): Promise<World> {
  const one = world();
  const { system } = one;
  const openedBy = async (key: Secret) => {
    const plan = await planReboot(system, DEFAULT_ENTRY);
    return { plan, authorities: await findAuthorities(system, plan.volumes, new KeyRing([key]), nobody, "proved") };
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
  assert.deepEqual(await staged(one), [3, "1"]);
  return one;
}

/** Disposable keys, and whether a kernel waits. */
async function staged({ system }: World): Promise<[number, string]> {
  const loaded = (await system.readFile("/sys/kernel/kexec_loaded", 8)).toString().trim();
  return [(await listDisposables(system, STATE)).length, loaded];
}

for (const [bootId, what] of [
  [BOOT, "waits for its reboot"],
  [EARLIER_BOOT, "has come back, and was not cleaned up yet"],
] as const) {
  test(`a remembered key is forgotten while what it staged ${what}`, { skip }, async () => {
    const untouched = await slots();
    const one = await stagedByKey(bootId);
    await assert.rejects(removeRememberedKey(one.system, DEVICES, secret("wrong"), STATE), (e) =>
      isError(e, "reboot/wrong-key"),
    );
    assert.deepEqual(await staged(one), [3, "1"]);

    const forgotten = await removeRememberedKey(one.system, DEVICES, secret(PASSPHRASE), STATE);
    assert.deepEqual([forgotten?.slots, forgotten?.staged.removed.length, forgotten?.staged.failures], [3, 3, []]);
    assert.deepEqual(await staged(one), [0, "0"]);
    assert.deepEqual(await slots(), untouched);
    assert.equal(await rememberedKey(one.system, STATE), null);
    assert.equal(await removeRememberedKey(one.system, DEVICES, secret(PASSPHRASE), STATE), null);
  });
}

test("the power goes at each step of forgetting: the passphrase opens every volume, and the next run ends it", {
  skip,
}, async () => {
  const untouched = await slots();
  const changes = /luksKillSlot|token remove|^kexec|^shred|^remove/;
  const cut: string[] = [];
  for (let at = 1, isOver = false; !isOver; ) {
    const one = await stagedByKey(BOOT);
    // Only before what changes something: what is read in between leaves the same disk.
    let seen = 0;
    const step = <A extends unknown[], T>(name: (...args: A) => string, call: (...args: A) => Promise<T>) => {
      return async (...args: A): Promise<T> => {
        if (seen >= at) throw new PowerCut();
        if (changes.test(name(...args)) && ++seen === at) {
          cut.push(name(...args));
          throw new PowerCut();
        }
        return call(...args);
      };
    };
    const system = {
      ...one.system,
      run: step(({ argv }: RunRequest) => argv.join(" ").replace(/^cryptsetup /, ""), one.system.run),
      removeFile: step((path: string) => `remove ${path}`, one.system.removeFile),
    };
    const outcome = await removeRememberedKey(system, DEVICES, secret(PASSPHRASE), STATE).catch(
      (error: unknown) => error,
    );
    isOver = !(outcome instanceof PowerCut);
    if (!isOver) {
      for (const name of DEVICES) assert.equal(opens(name, PASSPHRASE), true, `${cut.at(-1)}: ${name}`);
      await removeRememberedKey(one.system, DEVICES, secret(PASSPHRASE), STATE);
    }
    assert.deepEqual(await staged(one), [0, "0"], cut.join());
    assert.deepEqual(await slots(), untouched, cut.join());
    assert.equal(await rememberedKey(one.system, STATE), null);
    at++;
  }
  assert.equal(cut.filter((name) => name.startsWith("luksKillSlot")).length, 6, cut.join());
});

test("--forget asks for a passphrase only where a key is remembered, and again where it is mistyped", {
  skip,
}, async () => {
  const untouched = await slots();
  const args = ["--forget", "--state", STATE];
  assert.deepEqual((await runCommand(reboot, args, world().system)).lines, ["No key was remembered."]);

  const one = await stagedByKey(BOOT);
  const wrong = ["a", "b", "c", PASSPHRASE];
  await assert.rejects(runCommand(reboot, args, one.system, { passphrase: wrong }), (error) =>
    isError(error, "reboot/wrong-key"),
  );
  assert.deepEqual([wrong, await staged(one)], [[PASSPHRASE], [3, "1"]]);
  const typed = ["wrong", PASSPHRASE];
  const { hints, lines } = await runCommand(reboot, args, one.system, { passphrase: typed });
  assert.match(String(hints[0]), /is opened by no other slot with the passphrase that was given\. Try again\.$/);
  assert.equal(lines[0], "The key is gone, with its slot on 3 volume(s).");
  assert.deepEqual(await slots(), untouched);
});

test("a staged slot that cannot be removed safely any more keeps no remembered key", { skip }, async () => {
  const one = await stagedByKey(BOOT);
  runTool(["cryptsetup", "luksKillSlot", "-q", device("root"), "1"]); // by hand
  const forgotten = await removeRememberedKey(one.system, DEVICES, secret(PASSPHRASE), STATE);
  assert.deepEqual([forgotten?.slots, forgotten?.staged.removed.length], [2, 2]);
  assert.deepEqual(
    forgotten?.staged.failures.map(({ code }) => code),
    ["reboot/left-over"],
  );
  assert.deepEqual(await staged(one), [1, "0"]);
  assert.equal(await rememberedKey(one.system, STATE), null);
});
