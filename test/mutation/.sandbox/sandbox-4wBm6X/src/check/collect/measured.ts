// @ts-nocheck
import type { BootEntry, BootFile } from "../../boot/entry/entry.ts";
import type { NextBoot } from "../../boot/next-boot.ts";
import { NightlatchError } from "../../core/errors.ts";
import { changedBy, type RegisterChange } from "../../formats/tpm2/registers.ts";
import type { MeasuredShare } from "../../pins/nested.ts";
import type { ChipPower } from "../../pins/tpm2/chip.ts";
import { isSealedState, readState } from "../../pins/tpm2/state.ts";
import type { System } from "../../system/port.ts";
import type { MeasuredFacts } from "../judge/facts.ts";

/** How long the chip has to answer while a person waits. */
const CHIP_TIMEOUT_MS = 10_000;

/**
 * Finds out what is to be said of the registers that a binding is sealed to. A chip that does not
 * answer leaves that open: the attempt at the binding tells of it.
 */
export async function measuredFacts(
  system: ChipPower & Pick<System, "stat" | "readFileIfPresent">,
  next: Pick<NextBoot, "entry"> | null,
  measured: readonly MeasuredShare[],
): Promise<readonly MeasuredFacts[]> {
  if (measured.length === 0) return [];
  const waiting = next === null ? [] : await changesWaiting(system, next.entry);
  const states = await readState(system, measured, { timeoutMs: CHIP_TIMEOUT_MS }).catch((error: unknown) => {
    if (error instanceof NightlatchError) return null;
    throw error;
  });
  return measured.map((sealed, at) => {
    const { bank, numbers } = sealed.registers;
    const { isNeeded } = sealed;
    const values = states?.[at] ?? null;
    // One of zeros was measured into by nothing in this boot, and will not be in the next.
    const inUse = numbers.filter((_, index) => values?.[index]?.every((byte) => byte === 0) !== true);
    const changed = (change: RegisterChange) => changedBy(inUse, change);
    return {
      bank: bank.name,
      numbers,
      isNeeded,
      isNow: values === null ? null : isSealedState(sealed, values),
      moving: changed("running system"),
      pending: inUse.filter((number) => waiting.some((change) => changed(change).includes(number))),
      unsteady: inUse.filter((number) => SOFTWARE.some((change) => changed(change).includes(number))),
    };
  });
}

/** What changes on a machine without anybody at its firmware. */
const SOFTWARE: readonly RegisterChange[] = ["boot loader", "kernel", "running system"];

const RELEASE_LIMIT_BYTES = 1024;
/** It has a number for each interrupt of each processor. */
const PROC_STAT_BYTES = 4 << 20;

/** What the next boot loads that this one did not. */
async function changesWaiting(
  system: Pick<System, "stat" | "readFileIfPresent">,
  { release, kernel, initrds }: BootEntry,
): Promise<readonly RegisterChange[]> {
  const running = await system.readFileIfPresent("/proc/sys/kernel/osrelease", RELEASE_LIMIT_BYTES);
  if (release !== null && running !== null && running.toString("latin1").trim() !== release) return ["kernel"];
  const began = await bootSeconds(system);
  // A kernel that was updated may have the release of the one before.
  if (await isNewer(system, [kernel], began)) return ["kernel"];
  return (await isNewer(system, initrds, began)) ? ["initramfs"] : [];
}

/** When this boot began, as the file system's clock has it; null where /proc does not tell. */
async function bootSeconds(system: Pick<System, "readFileIfPresent">): Promise<number | null> {
  const stat = await system.readFileIfPresent("/proc/stat", PROC_STAT_BYTES);
  const [, seconds] = /^btime (\d+)$/m.exec(stat?.toString("latin1") ?? "") ?? [];
  return seconds === undefined ? null : Number(seconds);
}

/** Whether one of the files was written since; what cannot be told counts as older. */
async function isNewer(
  system: Pick<System, "stat">,
  files: readonly BootFile[],
  began: number | null,
): Promise<boolean> {
  if (began === null) return false;
  const facts = await Promise.all(files.map(({ path }) => system.stat(path)));
  return facts.some((fact) => fact !== null && Math.floor(fact.modifiedMs / 1000) > began);
}
