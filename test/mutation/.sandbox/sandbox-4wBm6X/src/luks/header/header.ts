// @ts-nocheck
import { isError, NightlatchError } from "../../core/errors.ts";
import { type Luks1Header, parseLuks1 } from "../../formats/luks/luks1.ts";
import {
  LUKS2_SIZES_BYTES,
  type Luks2Copy,
  type Luks2Header,
  newestFirst,
  peekLuks2,
  readLuks2Copy,
  verifyLuks2Copy,
} from "../../formats/luks/luks2.ts";
import {
  findHole,
  isLuksmetaData,
  LUKSMETA_TABLE_BYTES,
  type LuksmetaEntry,
  parseLuksmeta,
} from "../../formats/luks/luksmeta.ts";
import type { System } from "../../system/port.ts";
import { refuseNullCiphers } from "./ciphers.ts";

/** A volume's header as it was at one moment, told apart by `version`. */
export type VolumeHeader = Luks2Volume | Luks1Volume;

/** A LUKS2 volume, by the newer of its two copies that can be read. */
export interface Luks2Volume extends Luks2Header {
  /**
   * The copy that cannot be read; null where both can. cryptsetup mends it from the other when it
   * next changes the volume.
   */
  readonly damagedCopy: "primary" | "secondary" | null;
}

/** A LUKS1 volume, with what luksmeta keeps in it. */
export interface Luks1Volume extends Luks1Header {
  /**
   * What luksmeta holds, by keyslot; null where luksmeta was never set up on this volume, or its
   * table is damaged.
   */
  readonly meta: readonly LuksmetaRecord[] | null;
  /** What is wrong with luksmeta's table. It is no reason not to open the volume by other means. */
  readonly metaDamage: NightlatchError | null;
}

/** An entry of luksmeta's, with its data. */
export interface LuksmetaRecord extends LuksmetaEntry {
  /** null where what is there does not match its checksum, or is larger than any binding. */
  readonly data: Buffer | null;
}

/** The two copies at their usual size, and all of LUKS1 but luksmeta, in one read. */
const FIRST_READ_BYTES = 32 * 1024;
/** A compact JWE is about 2 KB; nested sss pins several times that. */
const LUKSMETA_DATA_LIMIT_BYTES = 64 * 1024;
const ATTEMPTS = 5;

/**
 * Reads the header of a LUKS volume. That is one read for a volume of the usual shape; no program
 * is run, no lock taken. cryptsetup rewrites the two copies of LUKS2 one after the other, so one of
 * them is valid at any moment; a read that caught both is repeated.
 * @param device a block device or an image file
 * @throws NightlatchError luks/none, luks/damaged, luks/unsupported, luks/null-cipher, and as
 *   System.readAt
 */
export async function readVolumeHeader(system: Pick<System, "readAt">, device: string): Promise<VolumeHeader> {
  for (let attempt = 1; ; attempt++) {
    try {
      const header = await readOnce(system, device);
      refuseNullCiphers(header);
      return header;
    } catch (error) {
      if (!isError(error, "luks/damaged") || attempt === ATTEMPTS) throw nameDevice(error, device);
    }
  }
}

async function readOnce(system: Pick<System, "readAt">, device: string): Promise<VolumeHeader> {
  const start = await system.readAt(device, 0, FIRST_READ_BYTES);
  const luks1 = parseLuks1(start);
  if (luks1 !== null) return { ...luks1, ...(await readMeta(system, device, luks1)) };
  return readLuks2(system, device, start);
}

async function readLuks2(system: Pick<System, "readAt">, device: string, start: Buffer): Promise<Luks2Volume> {
  const sizeBytes = peekLuks2(start, 0);
  if (sizeBytes === null) {
    const stray = await findSecondary(system, device);
    if (stray === null) throw noHeader(start);
    return stray;
  }
  const both = start.length >= 2 * sizeBytes ? start : await system.readAt(device, 0, 2 * sizeBytes);
  const primary = verify(both.subarray(0, sizeBytes), 0);
  const secondary = verify(both.subarray(sizeBytes, 2 * sizeBytes), sizeBytes);
  const [newer, older] = newestFirst([primary.value, secondary.value].filter((copy) => copy !== null));
  if (newer === undefined) {
    const stray = await findSecondary(system, device); // its size may be what is damaged
    if (stray === null) throw primary.failure;
    return stray;
  }
  // Never the older one in its stead: cryptsetup is less strict (of two members of one name it
  // takes the last), so it would read what we pass over, a null cipher perhaps.
  return { ...readLuks2Copy(newer), damagedCopy: older !== undefined ? null : twinOf(newer.which) };
}

/**
 * Verifies a copy; null where cryptsetup sees none either. One that it may read and we cannot
 * (another checksum) is an error.
 */
function verify(bytes: Buffer, offsetBytes: number): Attempt<Luks2Copy> {
  const tried = attempt(() => verifyLuks2Copy(bytes, offsetBytes));
  if (tried.failure !== null && !isError(tried.failure, "luks/damaged")) throw tried.failure;
  return tried;
}

function twinOf(which: "primary" | "secondary"): "primary" | "secondary" {
  return which === "primary" ? "secondary" : "primary";
}

/**
 * Looks for the second copy. A first one that is overwritten does not say where the second lies:
 * every place where it can lie is tried, as cryptsetup does.
 */
async function findSecondary(system: Pick<System, "readAt">, device: string): Promise<Luks2Volume | null> {
  for (const offsetBytes of LUKS2_SIZES_BYTES) {
    const head = await system.readAt(device, offsetBytes, 512);
    if (peekLuks2(head, offsetBytes) !== offsetBytes) continue;
    const bytes = await system.readAt(device, offsetBytes, offsetBytes);
    const { value: copy } = verify(bytes, offsetBytes);
    if (copy !== null) return { ...readLuks2Copy(copy), damagedCopy: "primary" };
  }
  return null;
}

async function readMeta(
  system: Pick<System, "readAt">,
  device: string,
  header: Luks1Header,
): Promise<Pick<Luks1Volume, "meta" | "metaDamage">> {
  const hole = findHole(header);
  if (hole === null) return { meta: null, metaDamage: null };
  const table = await system.readAt(device, hole.offsetBytes, LUKSMETA_TABLE_BYTES);
  const entries = attempt(() => parseLuksmeta(table, hole));
  if (entries.failure !== null) return { meta: null, metaDamage: entries.failure };
  if (entries.value === null) return { meta: null, metaDamage: null };
  const meta = await Promise.all(
    entries.value.map(async (entry) => ({ ...entry, data: await readData(system, device, entry) })),
  );
  return { meta, metaDamage: null };
}

async function readData(system: Pick<System, "readAt">, device: string, entry: LuksmetaEntry): Promise<Buffer | null> {
  if (entry.lengthBytes > LUKSMETA_DATA_LIMIT_BYTES) return null;
  const data = await system.readAt(device, entry.offsetBytes, entry.lengthBytes);
  return isLuksmetaData(entry, data) ? data : null;
}

type Attempt<T> =
  | { readonly value: T; readonly failure: null }
  | { readonly value: null; readonly failure: NightlatchError };

function attempt<T>(parse: () => T): Attempt<T> {
  try {
    return { value: parse(), failure: null };
  } catch (failure) {
    if (!(failure instanceof NightlatchError)) throw failure;
    return { value: null, failure };
  }
}

function noHeader(start: Buffer): NightlatchError {
  // What cryptsetup writes over the mark of a LUKS1 header for as long as it reencrypts the volume.
  if (start.subarray(0, 6).toString("latin1") === "LUKS\xde\xad") {
    return new NightlatchError("luks/requirements", "a reencryption of this LUKS1 volume is under way", {
      meaning: "The volume cannot be opened before its end. Nothing was changed.",
      remedy: "Go on with it in the folder that holds its LUKS-….log: cryptsetup reencrypt DEV",
    });
  }
  if (start.subarray(0, 6).toString("latin1") === "LUKS\xba\xbe") {
    const version = start.length < 8 ? 0 : start.readUInt16BE(6);
    if (version !== 2) return new NightlatchError("luks/unsupported", `LUKS version ${version} is not known`);
    return new NightlatchError("luks/damaged", "the LUKS2 header is damaged: it names a size that no header has");
  }
  return new NightlatchError("luks/none", "there is no LUKS header");
}

function nameDevice(error: unknown, device: string): unknown {
  if (!(error instanceof NightlatchError) || !error.code.startsWith("luks/")) return error;
  return new NightlatchError(error.code, `${device}: ${error.message}`, {
    meaning: error.meaning ?? "Nothing was changed.",
    ...(REMEDIES[error.code] ?? (error.remedy === undefined ? {} : { remedy: error.remedy })),
    cause: error.cause,
  });
}

const REMEDIES: Partial<Record<string, { remedy: string }>> = {
  "luks/none": { remedy: "Name the encrypted partition itself, not the disk or the opened mapping; see: lsblk -f" },
  "luks/damaged": {
    remedy: "See what cryptsetup makes of it: cryptsetup luksDump DEV; a header backup can restore it.",
  },
};
