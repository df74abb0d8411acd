/**
 * A data volume that opens by the machine's TPM and a PIN, as a person uses it: bound at the
 * console, then the machine is switched off and on. The kernel's own driver speaks to the chip.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { bootImage } from "./harness/image.ts";
import { makeLuksVolume } from "./harness/luks-volume.ts";
import { type Machine, type MachineOptions, startMachine } from "./harness/machine.ts";
import { builtPackage } from "./harness/package.ts";
import { dataGuest } from "./harness/recipe.ts";
import { onlyInFull } from "./harness/requirements.ts";

const PASSPHRASE = "correct horse data";
const PIN = "2580";
const DEADLINE_MS = 300_000;

/** Types a command at the console, and what it asks for; gives what it printed, with its status. */
async function typed(machine: Machine, command: string, answers: readonly (readonly [RegExp, string])[]) {
  machine.console.type(`${command}; echo "ended with $?"\n`);
  await machine.console.waitFor(/ended with \$\?"/, DEADLINE_MS);
  const from = machine.console.transcript().length;
  for (const [question, answer] of answers) {
    await machine.console.waitFor(question, DEADLINE_MS);
    machine.console.type(`${answer}\n`);
  }
  const [, status] = await machine.console.waitFor(/ended with (\d+)/, DEADLINE_MS);
  return { status: Number(status), told: machine.console.transcript().slice(from) };
}

async function switchedOn(options: MachineOptions, use: (machine: Machine) => Promise<void>): Promise<void> {
  await using machine = await startMachine(options);
  await machine.login();
  machine.console.type("root\n");
  await machine.console.waitFor(/# /, DEADLINE_MS);
  await use(machine);
  await machine.powerOff();
}

test("Debian 12: a volume opens by the chip and a PIN, and by neither alone", { skip: onlyInFull() }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-test-"));
  try {
    const file = join(folder, "data.img");
    await makeLuksVolume(file, "data", 16, { passphrase: PASSPHRASE, files: { name: "data\n" } });
    const options: MachineOptions = {
      image: await bootImage(dataGuest("bookworm"), { deb: await builtPackage() }),
      disks: [{ file, format: "raw", serial: "data" }],
      overlay: join(folder, "root.qcow2"),
      tpm: join(folder, "tpm"),
    };
    const unlock = "nightlatch unlock /dev/vdb data";
    const asked = /PIN[^\n]*: $/;

    await switchedOn(options, async (machine) => {
      const bound = await typed(machine, "nightlatch bind /dev/vdb tpm2 pcr=7 pin", [
        [/New PIN for the machine's TPM: $/, PIN],
        [/The same PIN again: $/, PIN],
        [/passphrase[^\n]*: $/i, PASSPHRASE],
      ]);
      assert.equal(bound.status, 0, bound.told);
      assert.match(bound.told, /with a PIN, sha256:7, keyslot 1/);
      assert.doesNotMatch(bound.told, new RegExp(PIN), "the PIN is not shown");
    });

    await switchedOn(options, async (machine) => {
      const wrong = await typed(machine, unlock, [[asked, "1111"]]);
      assert.equal(wrong.status, 1, wrong.told);
      assert.match(wrong.told, /\[tpm2\/wrong-pin\]/);
      assert.equal((await machine.run("test -e /dev/mapper/data")).status, 1);
      const right = await typed(machine, unlock, [[asked, PIN]]);
      assert.equal(right.status, 0, right.told);
      assert.equal(await machine.must("mount /dev/mapper/data /mnt && cat /mnt/name && umount /mnt"), "data\n");
      await machine.must("cryptsetup close data");
      // Nobody is there to type: neither is the chip spoken to.
      const alone = await machine.run(`setsid ${unlock} </dev/null`);
      assert.equal(alone.status, 1);
      assert.match(alone.stderr, /pin\/needs-person/);
    });

    // In another machine the PIN is not asked for.
    await switchedOn({ ...options, tpm: join(folder, "other") }, async (machine) => {
      const elsewhere = await typed(machine, unlock, []);
      assert.equal(elsewhere.status, 1, elsewhere.told);
      assert.match(elsewhere.told, /\[tpm2\/other-chip\]/);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
