// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { isRebooting, isSaidToGoDown } from "../../../src/host/shutdown.ts";
import { fakeSystem } from "../../support/fake-files.ts";

test("a reboot is told from other shutdowns by its job", async () => {
  const jobs = (stdout: string) =>
    isRebooting(fakeSystem({}, (argv) => (argv[0] === "systemctl" ? { stdout } : undefined)));
  assert.equal(
    await jobs(" 812 reboot.target                 start waiting\n 813 systemd-reboot.service start waiting\n"),
    true,
  );
  assert.equal(await jobs("812 poweroff.target start waiting\n"), false);
  assert.equal(await jobs("812 kexec.target start waiting\n"), false);
  assert.equal(await jobs(""), false);
});

test("a systemd that does not answer says of no shutdown", async () => {
  const says = (stdout: string, status = 0) =>
    isSaidToGoDown(fakeSystem({}, (argv) => (argv[0] === "systemctl" ? { stdout, status } : undefined)));
  assert.equal(await says("812 poweroff.target start waiting\n"), true);
  assert.equal(await says("813 nightlatch-rotate.service start running\n"), false);
  assert.equal(await says("", 1), false);
});
