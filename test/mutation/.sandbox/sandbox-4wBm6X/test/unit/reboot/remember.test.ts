// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { isError } from "../../../src/core/errors.ts";
import { remember } from "../../../src/reboot/remember.ts";
import type { Programs } from "../../support/fake-files.ts";
import { writableSystem } from "../../support/writable-files.ts";

test("a key is kept on an encrypted volume only, whatever the root lies on", async () => {
  const folder = "/var/lib/nightlatch/machine";
  const programs: Programs = (argv) => {
    if (argv[0] === "findmnt") return { stdout: argv.at(-1) === "/" ? "/dev/mapper/root\n" : "/dev/vda5\n" };
    if (argv[0] !== "lsblk") return undefined;
    const fstype = argv.at(-1) === "/dev/vda5" ? "ext4" : "crypto_LUKS";
    return { stdout: JSON.stringify({ blockdevices: [{ name: "x", fstype, uuid: "ab-cd" }] }) };
  };
  const system = writableSystem({}, programs);
  await assert.rejects(
    remember(system, [], new Map(), folder),
    (error) => isError(error, "reboot/blocked") && /machine is not on an encrypted volume/.test(error.message),
  );
  assert.deepEqual(system.written, []);
  // The same on the root writes it, so that the refusal above is the folder's.
  const encrypted = writableSystem({}, (argv, command) =>
    argv[0] === "findmnt" ? { stdout: "/dev/mapper/root\n" } : programs(argv, command),
  );
  await remember(encrypted, [], new Map(), folder);
  assert.deepEqual(encrypted.written, [`${folder}/remembered.key`]);
});
