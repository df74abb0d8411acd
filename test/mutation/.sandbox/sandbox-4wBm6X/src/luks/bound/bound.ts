// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { printable } from "../../core/text.ts";
import type { VolumeTrust } from "../../formats/own/agent-config.ts";
import type { VolumeIdentity, VolumeRecord } from "../../formats/own/volume-record.ts";
import type { VolumeHeader } from "../header/header.ts";
import { identityOf } from "../header/identity.ts";
import { listVolumeRecords, type RecordPower, readVolumeRecord } from "./records.ts";

/** Which volume was expected, and what was found. docs/format/bound.md, "How a volume is judged" */
export type Verdict =
  | { readonly kind: "bound"; readonly record: VolumeRecord }
  | { readonly kind: "first-use" }
  /** `why` is a clause: the volume … */
  | { readonly kind: "other"; readonly record: VolumeRecord; readonly why: string };

/**
 * Judges whether a volume is the one that is on record under its UUID or its name.
 * @param name the volume's in crypttab; null where it is not asked for by one
 * @throws NightlatchError machine/bad-state, file/*
 */
export async function judgeBound(
  system: RecordPower,
  stateFolder: string,
  header: VolumeHeader,
  name: string | null,
): Promise<Verdict> {
  const record = await readVolumeRecord(system, stateFolder, header.uuid);
  if (record !== null) return judgeIdentity(record, identityOf(header));
  if (name === null) return { kind: "first-use" };
  const former = (await listVolumeRecords(system, stateFolder)).find(({ names }) => names.includes(name));
  if (former === undefined) return { kind: "first-use" };
  return {
    kind: "other",
    record: former,
    why: `has the UUID ${printable(header.uuid)}, and ${former.volume} is on record`,
  };
}

/** Compares what a record says of a volume with what its header says. */
export function judgeIdentity(record: VolumeRecord, found: VolumeIdentity | null): Verdict {
  if (found === null) return { kind: "other", record, why: "has no single volume key for all of its data" };
  if (found.key !== record.key) return { kind: "other", record, why: "has another volume key than the one on record" };
  if (found.cipher === record.cipher) return { kind: "bound", record };
  const [was, is] = [printable(record.cipher), printable(found.cipher)];
  return { kind: "other", record, why: `is encrypted with ${is}, and ${was} is on record` };
}

/** Gives what stands against asking for the volume's key; null where nothing does. */
export function refusalOf(verdict: Verdict, device: string, trust: VolumeTrust): NightlatchError | null {
  if (verdict.kind === "other") {
    return new NightlatchError("luks/other-volume", `${device} is not the volume that was bound: it ${verdict.why}`, {
      meaning: "Somebody may have put a volume of his own in its place. None of its bindings was asked.",
      remedy: `If you have reencrypted it, restored it or made it anew yourself: nightlatch accept ${device}`,
    });
  }
  if (verdict.kind === "bound" || trust === "first-use") return null;
  return new NightlatchError("luks/not-recorded", `${device} is not on record as a volume of this machine's`, {
    meaning: 'agent.toml says trust = "recorded", so none of its bindings was asked.',
    remedy: `If it is yours: nightlatch accept ${device}`,
  });
}

/**
 * Says why the agent would ask none of the volume's bindings; null where nothing stands against it.
 * An error in the reading is the answer too.
 */
export async function whyNotBound(
  system: RecordPower,
  device: string,
  header: VolumeHeader,
  options: { readonly stateFolder: string; readonly name: string | null; readonly trust: VolumeTrust },
): Promise<NightlatchError | null> {
  try {
    return refusalOf(await judgeBound(system, options.stateFolder, header, options.name), device, options.trust);
  } catch (error) {
    if (error instanceof NightlatchError) return error;
    throw error;
  }
}
