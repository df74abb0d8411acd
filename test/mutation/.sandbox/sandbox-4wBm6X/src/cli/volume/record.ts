// @ts-nocheck
import { listBindings } from "../../bindings/binding.ts";
import { NightlatchError } from "../../core/errors.ts";
import { isLatch, serverOf } from "../../formats/network/server-address.ts";
import type { BoundLatch } from "../../formats/own/volume-record.ts";
import { recordByPerson, recordUnbound } from "../../luks/bound/changes.ts";
import { type Change, readHeader } from "../../luks/change/change.ts";
import { listServers } from "../../pins/latch/machine.ts";
import type { CommandInput } from "../command.ts";

type Spoken = Pick<CommandInput, "system" | "terminal">;

/**
 * Puts the volume on record as the one that this machine opens: docs/format/bound.md. For a change
 * whose passphrase was proved, which is what makes it the person's own.
 * @returns whether another key was on record
 * @throws NightlatchError luks/unsupported, luks/not-proved, file/*
 */
export async function recordVolume({ system, terminal }: Spoken, change: Change): Promise<boolean> {
  const { device } = change.volume;
  const header = await readHeader(system, change);
  const { openedBy } = change;
  const former = await recordByPerson(system, change.stateFolder, { device, header, openedBy });
  if (former === null) return false;
  terminal.hint(`nightlatch: ${device} has another volume key, or another cipher, than this machine had on record.`);
  terminal.hint("  Your passphrase opens it, so it is on record as yours from now on.");
  return true;
}

/**
 * Adds to the record the latches that the volume is bound to. Where that cannot be written, the
 * person is told, and the binding stands.
 */
export async function recordLatches({ system, terminal }: Spoken, change: Change): Promise<void> {
  const { stateFolder } = change;
  try {
    const header = await readHeader(system, change);
    const urls = listBindings(header).flatMap((binding) => binding.urls.filter(isLatch));
    const servers = await listServers(system, stateFolder);
    const latches = urls.map((url): BoundLatch => {
      return { url, server: servers.find((server) => server.url === serverOf(url))?.thumbprint ?? null };
    });
    const proved = { device: change.volume.device, header, openedBy: change.openedBy };
    await recordByPerson(system, stateFolder, proved, () => latches);
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    terminal.hint(`nightlatch: the record of the volume could not be completed: ${error.message}`);
  }
}

/** After bindings were removed: with the last one the record goes too. */
export async function recordRemoval({ system, terminal }: Spoken, change: Change): Promise<void> {
  try {
    const bindings = listBindings(await readHeader(system, change));
    const urls = bindings.flatMap((binding) => binding.urls);
    await recordUnbound(system, change.stateFolder, change.uuid, { urls, isBound: bindings.length > 0 });
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    terminal.hint(`nightlatch: the record of the volume could not be brought up to date: ${error.message}`);
  }
}
