// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { shellWord } from "../../core/text.ts";
import { findHole } from "../../formats/luks/luksmeta.ts";
import type { System } from "../../system/port.ts";
import { type Luks1Volume, type LuksmetaRecord, readVolumeHeader } from "../header/header.ts";
import type { Volume } from "./cryptsetup.ts";

type Power = Pick<System, "run" | "readAt">;

interface Held {
  readonly table: Buffer;
  readonly offsetBytes: number;
  readonly others: readonly (LuksmetaRecord & { readonly bytes: Buffer })[];
}

const TIMEOUT_MS = 60_000;
const PAGE_BYTES = 4096;
/** The page of luksmeta's table. What lies between it and the first entry belongs to nobody. */
const TABLE_BYTES = PAGE_BYTES;

/**
 * Lets luksmeta change the entry of one keyslot, and reads back that every other one is the same.
 * What it wrote over is put back, and the table before it, so that nothing points to what is gone.
 * @throws NightlatchError luks/refused where another entry was written over and is whole again,
 *   luks/harmed where it is not
 */
export async function keepingOthers(
  system: Power,
  volume: Volume,
  keyslot: number,
  change: () => Promise<void>,
): Promise<void> {
  const before = await hold(system, volume.device, keyslot);
  let failure: { readonly error: unknown } | null = null;
  try {
    await change();
  } catch (error) {
    failure = { error }; // it may have written before it failed
  }
  if (before === null || (await findHarmed(system, volume.device, before)).length === 0) {
    if (failure !== null) throw failure.error;
    return;
  }
  const rows = await hold(system, volume.device, keyslot);
  const isOurs = rows !== null && JSON.stringify(rows.others.map(rowOf)) === JSON.stringify(before.others.map(rowOf));
  if (isOurs) {
    await write(system, volume, before.offsetBytes, before.table);
    for (const { offsetBytes, bytes } of before.others) await write(system, volume, offsetBytes, bytes);
  }
  const harmed = await findHarmed(system, volume.device, before);
  if (harmed.length > 0) throw lost(volume.device, harmed);
  throw new NightlatchError("luks/refused", `${volume.device}: luksmeta wrote over the entry of another keyslot`, {
    meaning: "That was put back, and read back: every entry is what it was.",
    remedy: "Say so to Nightlatch's makers, with what dpkg says of luksmeta. Make the volume a LUKS2 one if you can.",
  });
}

async function hold(system: Power, device: string, keyslot: number): Promise<Held | null> {
  const header = await readLuks1(system, device);
  const hole = findHole(header);
  if (hole === null) return null;
  const table = await system.readAt(device, hole.offsetBytes, TABLE_BYTES);
  const others = (header.meta ?? []).filter((entry) => entry.keyslot !== keyslot);
  const read = others.map(async (entry) => ({
    ...entry,
    bytes: await system.readAt(device, entry.offsetBytes, entry.lengthBytes),
  }));
  return { table, offsetBytes: hole.offsetBytes, others: await Promise.all(read) };
}

/**
 * Lists the keyslots whose entries are not what they were. One that somebody took away meanwhile
 * counts, too.
 */
async function findHarmed(system: Power, device: string, before: Held): Promise<readonly number[]> {
  const harmed: number[] = [];
  const rows = (await readLuks1(system, device)).meta ?? [];
  for (const entry of before.others) {
    const row = rows.find(({ keyslot }) => keyslot === entry.keyslot);
    const isSame = row !== undefined && JSON.stringify(rowOf(row)) === JSON.stringify(rowOf(entry));
    const bytes = await system.readAt(device, entry.offsetBytes, entry.lengthBytes);
    if (!isSame || !bytes.equals(entry.bytes)) harmed.push(entry.keyslot);
  }
  return harmed;
}

const rowOf = ({ keyslot, uuid, offsetBytes, lengthBytes, crc32c }: LuksmetaRecord) => [
  keyslot,
  uuid,
  offsetBytes,
  lengthBytes,
  crc32c,
];

async function readLuks1(system: Power, device: string): Promise<Luks1Volume> {
  const header = await readVolumeHeader(system, device);
  if (header.version !== 1) throw new TypeError("not a LUKS1 volume");
  return header;
}

/** dd(1) of GNU coreutils, to the disk before it ends. */
async function write(system: Power, volume: Volume, offsetBytes: number, stdin: Buffer): Promise<void> {
  const target = [`of=${volume.device}`, "bs=64K", `seek=${offsetBytes}`, "oflag=seek_bytes", "iflag=fullblock"];
  const { status } = await system.run({
    argv: ["dd", ...target, "conv=notrunc,fsync", "status=none"],
    stdin,
    timeoutMs: TIMEOUT_MS,
    ...(volume.lock === undefined ? {} : { lock: volume.lock }),
  });
  if (status !== 0)
    throw new NightlatchError("file/io", `${volume.device} could not be written (dd: status ${status})`);
}

function lost(device: string, keyslots: readonly number[]): NightlatchError {
  const which = keyslots.join(", ");
  return new NightlatchError("luks/harmed", `${device}: the luksmeta entry of keyslot ${which} is not what it was`, {
    meaning:
      "Another program changed it meanwhile, or something is broken. A binding there may be lost; its keyslot and all passphrases are whole.",
    remedy: `See whether it opens: clevis luks pass -d ${shellWord(device)} -s ${keyslots[0]}. If not, bind it anew with a passphrase.`,
  });
}
