/**
 * An operator rotates the latches of a machine with an encrypted root: it follows by its own timer,
 * keeps the former binding until a boot has opened by the new one, and then both ends of the former
 * go. Nobody types anything after the set-up.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { KeyServer } from "../harness/key-server.ts";
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
  withRootMachine,
} from "../harness/root-machine.ts";

/** Root and swap. */
const VOLUMES = ["/dev/vda", "/dev/vdb"];

const bindings = async (machine: Machine): Promise<string> =>
  machine.must(VOLUMES.map((device) => `cryptsetup luksDump ${device} | grep -c ': clevis$'`).join("; "));

async function epochs(server: KeyServer): Promise<unknown[][]> {
  const { latches } = await server.machine("show", "nas");
  return (latches as { epoch: number; former: number | null }[]).map(({ epoch, former }) => [epoch, former]);
}

/** A server that is slow is asked again by the timer's next run. */
const MOST_RUNS = 3;

/** What the timer starts: it is not waited for here. Fails with what the service has told. */
async function follow(machine: Machine, counts: string): Promise<void> {
  let found = "";
  for (let run = 0; run < MOST_RUNS && found !== counts; run++) {
    await machine.must("systemctl start nightlatch-rotate.service", DEADLINE_MS);
    found = await bindings(machine);
  }
  if (found !== counts) assert.equal(found, counts, await machine.must("journalctl -b -u nightlatch-rotate"));
}

async function coldBoots(): Promise<void> {
  await withRootMachine(BOOKWORM, async ({ server, options }) => {
    await openedByHand(options, async (machine) => {
      await machine.must(FORGET_DATA);
      await bind(machine, `nightlatch bind /dev/vda latch ${await server.invite("nas")} --setup`);
      await bind(machine, "nightlatch bind /dev/vdb latch");
      await machine.must("systemctl is-enabled nightlatch-rotate.timer");
      await server.machine("rotate", "nas");
      // No boot has opened by the new ones.
      await follow(machine, "2\n2\n");
      assert.deepEqual(await epochs(server), [
        [2, 1],
        [2, 1],
      ]);
      await follow(machine, "2\n2\n");
    });
    await comesBack(options, async (machine) => {
      await follow(machine, "1\n1\n");
      assert.deepEqual(await epochs(server), [
        [2, null],
        [2, null],
      ]);
      await findsNothing(machine);
    });
    await comesBack(options, async () => {});
  });
}

describe("Debian 12, initramfs-tools, rotated", { skip: onlyInFull(), concurrency: 1 }, () => {
  test("a root's former binding goes once a boot has opened by the new one", coldBoots);
});
