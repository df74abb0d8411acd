// @ts-nocheck
import type { OneshotPower } from "../../../boot/oneshot/loader.ts";
import { type FoundOneshot, findOneshot } from "../../../boot/oneshot/oneshot.ts";
import { NightlatchError } from "../../../core/errors.ts";
import { printable } from "../../../core/text.ts";

/** As findOneshot; its error where what is there cannot be made out. */
export async function lookForOneshot(system: OneshotPower): Promise<FoundOneshot | NightlatchError | null> {
  try {
    return await findOneshot(system);
  } catch (error) {
    if (error instanceof NightlatchError) return error;
    throw error;
  }
}

/** For a person, a sentence each. */
export function oneshotLines(found: FoundOneshot | NightlatchError | null): string[] {
  if (found === null) return [];
  if (found instanceof NightlatchError) return [`What there is of a one-time boot cannot be told: ${found.message}`];
  const { mark, held, files, loader, isArmed } = found;
  if (isArmed && mark !== null) {
    const until = new Date(mark.expires * 1000).toISOString();
    return [
      `Armed until ${until}: ${loader} boots the entry of ${held?.entry ?? ""} next, once; its keys lie in ${printable(mark.overlay)}.`,
    ];
  }
  const pieces = [...(held?.isChosen ? [`the one-time choice of ${loader}`] : []), ...entries(found), ...files];
  if (pieces.length === 0) pieces.push("an empty folder");
  return [`Not armed. Left over from one that was: ${pieces.join(", ")}. Run: nightlatch oneshot disarm`];
}

const entries = ({ held }: FoundOneshot): string[] => (held?.entry == null ? [] : [held.entry]);

/** For a program; docs/json.md. */
export function oneshotJson(found: FoundOneshot | NightlatchError | null): Record<string, unknown> | null {
  if (found === null) return null;
  if (found instanceof NightlatchError) return { armed: null, error: { code: found.code, message: found.message } };
  const { mark, held, files, loader, isArmed } = found;
  return {
    armed: isArmed,
    loader,
    chosen: held?.isChosen ?? false,
    entry: held?.entry ?? null,
    boot: mark?.boot ?? null,
    expires: mark?.expires ?? null,
    overlay: mark?.overlay ?? null,
    files,
  };
}
