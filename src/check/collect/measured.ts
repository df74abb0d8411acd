import type { NextBoot } from "../../boot/next-boot.ts";
import { NightlatchError } from "../../core/errors.ts";
import { changedBy, type Measured, type RegisterChange } from "../../formats/tpm2/registers.ts";
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
  system: ChipPower & Pick<System, "readFileIfPresent">,
  next: Pick<NextBoot, "entry"> | null,
  measured: readonly Measured[],
): Promise<readonly MeasuredFacts[]> {
  if (measured.length === 0) return [];
  const isNewKernel = await bootsAnotherKernel(system, next);
  const states = await readState(system, measured, { timeoutMs: CHIP_TIMEOUT_MS }).catch((error: unknown) => {
    if (error instanceof NightlatchError) return null;
    throw error;
  });
  return measured.map((sealed, at) => {
    const { bank, numbers } = sealed.registers;
    const values = states?.[at] ?? null;
    // One of zeros was measured into by nothing in this boot, and will not be in the next.
    const inUse = numbers.filter((_, index) => values?.[index]?.every((byte) => byte === 0) !== true);
    const changed = (change: RegisterChange) => changedBy(inUse, change);
    return {
      bank: bank.name,
      numbers,
      isNow: values === null ? null : isSealedState(sealed, values),
      moving: changed("running system"),
      pending: isNewKernel ? changed("kernel") : [],
      unsteady: inUse.filter((number) => SOFTWARE.some((change) => changed(change).includes(number))),
    };
  });
}

/** What changes on a machine without anybody at its firmware. */
const SOFTWARE: readonly RegisterChange[] = ["boot loader", "kernel", "running system"];

const RELEASE_LIMIT_BYTES = 1024;

async function bootsAnotherKernel(
  system: Pick<System, "readFileIfPresent">,
  next: Pick<NextBoot, "entry"> | null,
): Promise<boolean> {
  const release = next?.entry.release ?? null;
  const running = await system.readFileIfPresent("/proc/sys/kernel/osrelease", RELEASE_LIMIT_BYTES);
  return release !== null && running !== null && running.toString("latin1").trim() !== release;
}
