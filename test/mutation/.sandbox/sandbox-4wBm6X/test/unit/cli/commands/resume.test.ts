// @ts-nocheck
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { command } from "../../../../src/cli/commands/resume.ts";
import { runCommand } from "../../../support/terminal.ts";
import { makeFolder, makeVolume } from "../../../support/volumes.ts";
import { writableSystem } from "../../../support/writable-files.ts";

const plain = makeVolume(makeFolder(), "plain", "luks2");

const machine = (suspended: string) =>
  writableSystem({
    "/sys/block/dm-0/dm/name": "data\n",
    "/sys/block/dm-0/dm/uuid": `CRYPT-LUKS2-${"ab".repeat(16)}-data\n`,
    "/sys/block/dm-0/dm/suspended": suspended,
    "/sys/block/dm-0/slaves/vdb/dev": "254:0\n",
    "/dev/vdb": readFileSync(plain).subarray(0, 32 << 10),
  });

test("only what was suspended goes on", async () => {
  for (const [system, name] of [
    [machine("0\n"), "data"],
    [machine("1\n"), "other"],
  ] as const)
    await assert.rejects(runCommand(command, [name], system), { code: "tether/not-suspended" });
});

test("a volume without a binding is resumed by its passphrase, as is said", async () => {
  await assert.rejects(runCommand(command, ["data"], machine("1\n")), {
    code: "luks/not-bound",
    remedy: "Type its passphrase: cryptsetup luksResume data",
  });
});
