// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { command } from "../../../src/cli/commands/reboot/reboot.ts";
import { makeDefault, undoDefault, wantsFirmwareSetup } from "../../../src/reboot/default-handler.ts";
import { fakeSystem, type Programs } from "../../support/fake-files.ts";
import { runCommand } from "../../support/terminal.ts";
import { writableSystem } from "../../support/writable-files.ts";

test("the default handler is one drop-in and one unit, and goes as it came", async () => {
  const files: Record<string, string | Buffer> = {};
  const system = writableSystem(files, () => ({}));
  await makeDefault(system);
  const path = "/etc/systemd/system/systemd-reboot.service.d/nightlatch.conf";
  assert.match(String(files[path]), /^SuccessAction=none$/m);
  assert.match(String(files[path]), /'if \[ -e \/run\/nightlatch-reboot\/staged \] && /);
  assert.match(String(files[path]), /then systemctl --force kexec && exit 0; fi; exec systemctl --force reboot'$/m);
  await undoDefault(system);
  assert.deepEqual(files, {});
  assert.deepEqual(system.ran, [
    ["systemctl", "daemon-reload"],
    ["systemctl", "enable", "--now", "nightlatch-stage.service"],
    ["systemctl", "disable", "--now", "nightlatch-stage.service"],
    ["systemctl", "daemon-reload"],
  ]);
});

test("who asks for the firmware's menu gets it", async () => {
  const path = "/sys/firmware/efi/efivars/OsIndications-8be4df61-93ca-11d2-aa0d-00e098032b8c";
  const value = (indications: number) => ({ [path]: Buffer.from([7, 0, 0, 0, indications, 0, 0, 0, 0, 0, 0, 0]) });
  assert.equal(await wantsFirmwareSetup(fakeSystem(value(1))), true);
  assert.equal(await wantsFirmwareSetup(fakeSystem(value(2))), false);
  assert.equal(await wantsFirmwareSetup(fakeSystem({ [path]: Buffer.alloc(4) })), false);
  assert.equal(await wantsFirmwareSetup(fakeSystem({})), false);

  const jobs: Programs = (argv) =>
    argv[0] === "systemctl" ? { stdout: "  42 reboot.target start waiting\n" } : undefined;
  const { hints } = await runCommand(command, ["--at-shutdown"], writableSystem(value(1), jobs));
  assert.deepEqual(hints, ["An ordinary reboot: into the firmware's own menu, as was asked for."]);
});
