/**
 * `nightlatch reboot` under lockdown (kernel_lockdown(7)), which Secure Boot switches on: a kernel
 * whose signature the running one does not trust is refused with its reason, and nothing is left
 * staged. The certificate that Debian's kernels are signed with comes from shim, so on these
 * machines, which have none, none is trusted.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PASSPHRASE } from "../harness/encrypted-root.ts";
import { assertNothingStaged, DEADLINE_MS, headers, withMachine } from "../harness/reboot-machine.ts";
import { onlyInFull } from "../harness/requirements.ts";

describe("lockdown", { skip: onlyInFull(), concurrency: 1 }, () => {
  test("a kernel that is not trusted is refused, by kexec and where the way is left open", async (t) => {
    await withMachine({ suite: "bookworm", generator: "initramfs-tools", compression: "zstd" }, async (machine) => {
      const before = await headers(machine);
      await machine.must("echo integrity >/sys/kernel/security/lockdown"); // until the next boot
      const refused = async (via: string, code: string) => {
        const { status, stdout } = await machine.run(
          `nightlatch reboot --via ${via} --json --key-file -`,
          DEADLINE_MS,
          PASSPHRASE,
        );
        assert.equal(status, 1);
        const { error } = JSON.parse(stdout);
        assert.equal(error.code, code);
        assert.match(JSON.stringify(error), /locked down \(Secure Boot\)/);
        await assertNothingStaged(machine, before);
        return `${error.message} ${error.remedy}`;
      };
      t.diagnostic(await refused("kexec", "kexec/failed"));
      assert.match(await refused("auto", "reboot/no-way"), /--via oneshot/);
    });
  });
});
