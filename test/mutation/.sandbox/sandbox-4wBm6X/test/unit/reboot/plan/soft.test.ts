// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { command } from "../../../../src/cli/commands/reboot/reboot.ts";
import { isError } from "../../../../src/core/errors.ts";
import { requireSoftReboot } from "../../../../src/reboot/plan/soft.ts";
import type { System } from "../../../../src/system/port.ts";
import { fakeSystem, type Programs } from "../../../support/fake-files.ts";
import { runCommand } from "../../../support/terminal.ts";

const programs =
  (loadState: string): Programs =>
  ([program]) => {
    if (program === "systemctl") return { stdout: `${loadState}\n` };
    if (program === "findmnt") return { stdout: "tmpfs\n" };
    return undefined;
  };

test("a soft reboot that is only asked about does not happen", async () => {
  const system = fakeSystem({}, programs("loaded"));
  const { result } = await runCommand(command, ["--via", "soft", "--dry-run"], system as unknown as System);
  assert.deepEqual(result, { ok: true, via: "soft", dryRun: true });
  assert.equal(
    system.ran.some((argv) => argv.includes("soft-reboot")),
    false,
  );
});

test("refused where systemd knows none, before anything is started", async () => {
  const system = fakeSystem({}, programs("not-found"));
  await assert.rejects(runCommand(command, ["--via", "soft"], system as unknown as System), (error) =>
    isError(error, "reboot/blocked"),
  );
  assert.deepEqual(
    system.ran.filter(([program, verb]) => program === "systemctl" && verb !== "list-jobs"),
    [["systemctl", "show", "--property=LoadState", "--value", "soft-reboot.target"]],
  );
});

test("refused where a volume would be closed and ask; not where it is marked to stay, or opens by itself", async () => {
  const soft = (line: string) =>
    requireSoftReboot(fakeSystem({ "/etc/crypttab": line, "/dev/vdc": Buffer.alloc(1 << 20) }, programs("loaded")));
  await assert.rejects(soft("data /dev/vdc none luks\n"), (error) => isError(error, "reboot/blocked"));
  await soft("data /dev/vdc none luks,x-initrd.attach\n");
  await soft("data /dev/vdc none luks,noauto\n");
  await soft("scratch /dev/vdc /dev/urandom\n");
});
