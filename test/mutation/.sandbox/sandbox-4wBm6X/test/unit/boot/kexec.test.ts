// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadKexec, unloadKexec, whyNoKexec } from "../../../src/boot/kexec.ts";
import { isError } from "../../../src/core/errors.ts";
import { fakeSystem, type Programs } from "../../support/fake-files.ts";
import { writableSystem } from "../../support/writable-files.ts";

const CAN_KEXEC = { "/sys/kernel/kexec_loaded": "0\n", "/proc/sys/kernel/kexec_load_disabled": "0\n" };
const kexecWorks: Programs = (argv) => (argv[0] === "kexec" ? {} : undefined);

test("why kexec cannot be used, in words", async () => {
  assert.equal(await whyNoKexec(fakeSystem(CAN_KEXEC, kexecWorks)), null);
  assert.match(String(await whyNoKexec(fakeSystem({}, kexecWorks))), /built without kexec/);
  assert.match(String(await whyNoKexec(fakeSystem(CAN_KEXEC))), /kexec-tools/);
  const off = { ...CAN_KEXEC, "/proc/sys/kernel/kexec_load_disabled": "1\n" };
  assert.match(String(await whyNoKexec(fakeSystem(off, kexecWorks))), /switched off until the next boot/);
});

test("under lockdown only a signed kernel is loaded, and no other way is tried", async () => {
  const image = { kernel: Buffer.from("k"), initrds: [Buffer.from("i")], overlay: Buffer.from("o"), cmdline: "ro" };
  const refusing: Programs = (argv) =>
    argv[0] === "kexec" ? { status: 255, stderr: "kexec_file_load failed: Required key not available\n" } : {};
  const locked = writableSystem(
    { ...CAN_KEXEC, "/sys/kernel/security/lockdown": "none [integrity] confidentiality\n" },
    refusing,
  );
  await assert.rejects(
    loadKexec(locked, image),
    (error) =>
      isError(error, "kexec/failed") &&
      /Required key not available/.test(error.message) &&
      /Secure Boot/.test(String(error.remedy)),
  );
  assert.deepEqual(
    locked.ran.filter(([program]) => program === "kexec").map((argv) => argv[1]),
    ["-s"],
  );
  const open = writableSystem({ ...CAN_KEXEC, "/sys/kernel/security/lockdown": "[none] integrity\n" }, refusing);
  await assert.rejects(loadKexec(open, image), (error) => isError(error, "kexec/failed"));
  assert.deepEqual(
    open.ran.filter(([program]) => program === "kexec").map((argv) => argv[1]),
    ["-s", "-c"],
  );
});

test("a loaded image goes, or it is said that it did not", async () => {
  const files: Record<string, string> = { "/sys/kernel/kexec_loaded": "1\n" };
  const stays = fakeSystem(files, kexecWorks);
  await assert.rejects(
    unloadKexec(stays),
    (error) => isError(error, "kexec/failed") && /could not be unloaded/.test(error.message),
  );
  const goes = fakeSystem(files, (argv) => {
    if (argv.includes("-c")) files["/sys/kernel/kexec_loaded"] = "0\n";
    return {};
  });
  await unloadKexec(goes);
  assert.deepEqual(goes.ran, [
    ["kexec", "-s", "-u"],
    ["kexec", "-c", "-u"],
  ]);
});
