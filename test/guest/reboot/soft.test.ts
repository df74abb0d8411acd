/**
 * `nightlatch reboot --via soft`: user space anew, the running kernel, the volumes as they were,
 * nobody asked.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PROMPT } from "../harness/prompt.ts";
import { DEADLINE_MS, headers, withMachine } from "../harness/reboot-machine.ts";
import { onlyInFull } from "../harness/requirements.ts";

describe("a soft reboot", { skip: onlyInFull(), concurrency: 1 }, () => {
  test("Debian 13: comes back by itself with its volumes open", async () => {
    await withMachine({ suite: "trixie", generator: "dracut", compression: "zstd" }, async (machine) => {
      const before = await headers(machine);
      const asked = await machine.run("nightlatch reboot --via soft --json", DEADLINE_MS);
      assert.equal(JSON.parse(asked.stdout).error.code, "reboot/blocked");
      assert.match(JSON.parse(asked.stdout).error.message, /^data .* would be closed by a soft reboot/);
      await machine.must("sed -i '/^data/s/luks/luks,x-initrd.attach/' /etc/crypttab && systemctl daemon-reload");

      const bootId = machine.shell.bootId;
      const from = machine.console.transcript().length;
      machine.run("nightlatch reboot --via soft", DEADLINE_MS).catch(() => {});
      await machine.console.waitFor(/Welcome to/, DEADLINE_MS);
      await machine.console.waitFor(/login: /, DEADLINE_MS);
      assert.doesNotMatch(machine.console.transcript().slice(from), PROMPT);
      // The test's own shell is started by its device, which was there all the while.
      machine.console.type("root\n");
      await machine.console.waitFor(/root@guest:~# /, DEADLINE_MS);
      machine.console.type("systemctl start test-shell.service\n");
      assert.equal((await machine.must("cat /proc/sys/kernel/random/boot_id")).trim(), bootId);
      assert.equal((await machine.must("systemctl show --property=SoftRebootsCount --value")).trim(), "1");
      assert.equal(await machine.must("cat /srv/greeting"), "hello\n");
      assert.equal(await headers(machine), before);
    });
  });

  test("Debian 12, whose systemd has none: refused, and the machine runs on", async () => {
    await withMachine({ suite: "bookworm", generator: "initramfs-tools", compression: "zstd" }, async (machine) => {
      const { status, stdout } = await machine.run("nightlatch reboot --via soft --json", DEADLINE_MS);
      assert.equal(status, 1);
      assert.equal(JSON.parse(stdout).error.code, "reboot/blocked");
      assert.match(JSON.parse(stdout).error.message, /no soft reboot/);
      assert.equal((await machine.must("systemctl is-system-running --wait", DEADLINE_MS)).trim(), "running");
    });
  });
});
