// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_ENTRY } from "../../../../src/boot/entry/entries.ts";
import { isError } from "../../../../src/core/errors.ts";
import type { Conversation } from "../../../../src/reboot/conversation.ts";
import { chooseWay } from "../../../../src/reboot/ways/auto.ts";
import type { Programs } from "../../../support/fake-files.ts";
import { writableSystem } from "../../../support/writable-files.ts";

const CAN_KEXEC = { "/sys/kernel/kexec_loaded": "0\n", "/proc/sys/kernel/kexec_load_disabled": "0\n" };
const noTimer: Programs = (argv) => (argv[0] === "systemctl" ? { status: 3 } : undefined);

/** Nobody is asked, and nothing is staged. */
const conversation: Conversation = {
  hint: () => {},
  requireConsent: () => assert.fail("somebody was asked to agree"),
  givenKey: () => assert.fail("a key was read"),
  askSecret: () => assert.fail("a passphrase was asked for"),
  signal: new AbortController().signal,
};

const request = { stateFolder: "/state", entry: DEFAULT_ENTRY };

test("where kexec is not to be had, bindings are tried; where they open nothing too, both are told", async () => {
  const system = writableSystem({}, noTimer);
  await assert.rejects(
    chooseWay(system, { ...request, mayBeOrdinary: true }, conversation),
    (error) =>
      isError(error, "reboot/no-way") &&
      /\n {2}kexec {4}kexec cannot be used: .*\[kexec\/unavailable\]/.test(error.message) &&
      /\n {2}bindings .*\[[a-z]+\/[a-z-]+\]/.test(error.message) &&
      /--via soft.*--via oneshot/.test(String(error.remedy)),
  );
  assert.deepEqual(system.written, []);
});

test("what only a kexec can do is not done otherwise", async () => {
  const system = writableSystem({}, noTimer);
  const wanted = { ...request, entry: { ...DEFAULT_ENTRY, cmdline: "ro" }, mayBeOrdinary: false };
  await assert.rejects(chooseWay(system, wanted, conversation), (error) => isError(error, "kexec/unavailable"));
  assert.ok(!system.ran.some(([program]) => program === "findmnt"), "a plan was made");
});

test("what a person has to look at first is told, and no other way is tried", async () => {
  // kexec is there. A volume of an earlier staging cannot be looked at, which is no obstacle of
  // kexec's.
  const enabled = "enabled\n\nenabled\n\nenabled\n";
  const system = writableSystem(
    { ...CAN_KEXEC, "/proc/sys/kernel/random/boot_id": "id\n" },
    (argv) =>
      ({
        systemctl: { status: argv[1] === "is-active" ? 3 : 0, stdout: enabled },
        kexec: {},
        lsblk: { stdout: "no json" },
      })[argv[0] ?? ""],
  );
  await assert.rejects(chooseWay(system, { ...request, mayBeOrdinary: true }, conversation), (error) =>
    isError(error, "json/malformed"),
  );
});
