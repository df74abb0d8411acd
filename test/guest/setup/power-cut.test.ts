/**
 * The power goes while `bind --setup` is at work, on a whole machine: amid the package's install,
 * while the new initramfs is made, and between its rename and the sync. What boots then is an image
 * that takes the passphrase or opens by itself, and the same command comes to its end.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PASSPHRASE } from "../harness/encrypted-root.ts";
import { intercept, runUntilHeld, stopAt } from "../harness/interceptor.ts";
import type { Machine } from "../harness/machine.ts";
import { onlyInFull } from "../harness/requirements.ts";
import {
  BOOKWORM,
  bind,
  comesBack,
  DEADLINE_MS,
  FORGET_DATA,
  findsNothing,
  openedByHand,
  typeUntilLogin,
  withRootMachine,
} from "../harness/root-machine.ts";

const SET_UP = "nightlatch bind /dev/vda latch --setup --key-file -";

/** Starts the set-up, waits until a shell's condition holds, and pulls the plug. */
async function cutWhile(machine: Machine, condition: string): Promise<void> {
  const start = `printf %s "$(cat)" | setsid ${SET_UP} >/root/set-up.log 2>&1 & work=$!`;
  const gone = "kill -0 $work 2>/dev/null || { cat /root/set-up.log >&2; exit 1; }";
  await machine.must(`${start}\nuntil ${condition}; do ${gone}; sleep 0.1; done`, DEADLINE_MS, PASSPHRASE);
  await machine.reset();
  await typeUntilLogin(machine);
}

/** Nightlatch is held with this call of its done; what it wrote is not synced. */
async function cutAt(machine: Machine, call: string): Promise<void> {
  await intercept(machine, ["/usr/bin/mv", "/usr/bin/ln"]);
  await stopAt(machine, call, "hold");
  await runUntilHeld(machine, SET_UP, DEADLINE_MS, PASSPHRASE);
  await machine.reset();
  await typeUntilLogin(machine);
}

async function cuts(note: (text: string) => void): Promise<void> {
  await withRootMachine(BOOKWORM, async ({ server, options }) => {
    await openedByHand(options, async (machine) => {
      await machine.must(FORGET_DATA);
      await bind(machine, `nightlatch bind /dev/vda latch ${await server.invite("nas")} --no-setup`);
      await bind(machine, "nightlatch bind /dev/vdb latch --no-setup");

      await cutAt(machine, "ln*nightlatch-old*");
      note("before the install");
      await cutWhile(machine, "pgrep -x dpkg >/dev/null");
      note("amid the install");
      await machine.must("dpkg --configure -a", DEADLINE_MS);
      // The package's own trigger makes a good image: one of before it, to have it made by us.
      await machine.must("apt-get install -y clevis-initramfs", DEADLINE_MS);
      await machine.must("rm -f /etc/initramfs-tools/hooks/nightlatch*; update-initramfs -u", DEADLINE_MS);
      await cutWhile(machine, "pgrep mkinitramfs >/dev/null");
      note("while the new image is made");
      await cutAt(machine, "mv*nightlatch-new*");
      note("with the new image in place, not synced");

      const told = await bind(machine, "nightlatch bind /dev/vda latch --setup");
      assert.match(told, /initramfs/);
      await findsNothing(machine);
      assert.equal(await machine.must("ls /boot | grep -c nightlatch || true"), "0\n");
    });
    await comesBack(options, async () => {});
  });
}

describe("Debian 12, initramfs-tools: the power goes in a set-up", { skip: onlyInFull(), concurrency: 1 }, () => {
  test("it boots, and the same command comes to its end", (t) => cuts((text) => t.diagnostic(text)));
});
