import { type JsonObject, parseJson } from "../json/json.ts";
import { hasExactly } from "../json/narrow.ts";

/** What both files of docs/format/tether.md hold at most. */
export const TETHER_FILE_BYTES = 64 << 10;
const SERVERS = 64;
const TEXT_LENGTH = 2048;

/**
 * What a server has said to this machine's heartbeats. Times are milliseconds since the machine was
 * started, on the clock that nobody sets and that goes on while the machine sleeps.
 */
export interface HeardServer {
  /** Base address. */
  readonly url: string;
  /** When it last answered by its own word. */
  readonly heardMs: number;
  /** Since when it says that the machine is locked; null where it last said that it is not. */
  readonly lockedMs: number | null;
  /** Until when a lease of the machine is open there; null where none is, as far as it was told. */
  readonly leaseMs: number | null;
}

/** Why the tether was tripped: a server has said `lock`, or none has answered. */
type TripCause = "locked" | "gone";

/** What the tether did when it was tripped last, on the same clock. */
export interface Trip {
  readonly atMs: number;
  readonly cause: TripCause;
  /** Names of the mappings that were suspended. */
  readonly suspended: readonly string[];
}

/** Writes what servers have said: `heard.json`. */
export function buildHeardServers(servers: readonly HeardServer[]): Buffer {
  const rows = servers.map(({ url, heardMs, lockedMs, leaseMs }) => {
    return { url, heard: heardMs, locked: lockedMs, lease: leaseMs };
  });
  return toFile({ servers: rows });
}

/** Reads it; null where it is damaged. */
export function parseHeardServers(bytes: Buffer): HeardServer[] | null {
  const servers = fileOf(bytes, ["servers"])?.["servers"];
  if (!Array.isArray(servers) || servers.length > SERVERS) return null;
  const read = servers.map((row) => (isObject(row) ? heardServer(row) : null));
  return read.includes(null) ? null : read.filter((one) => one !== null);
}

function heardServer(row: JsonObject): HeardServer | null {
  const { url, heard, locked, lease } = row;
  if (!hasExactly(row, ["heard", "lease", "locked", "url"]) || !isText(url) || !isTime(heard)) return null;
  if ((locked !== null && !isTime(locked)) || (lease !== null && !isTime(lease))) return null;
  return { url, heardMs: heard, lockedMs: locked, leaseMs: lease };
}

/** Writes what the tether did: `trip.json`. */
export function buildTrip({ atMs, cause, suspended }: Trip): Buffer {
  return toFile({ at: atMs, cause, suspended });
}

/** Reads it; null where it is damaged. */
export function parseTrip(bytes: Buffer): Trip | null {
  const file = fileOf(bytes, ["at", "cause", "suspended"]);
  if (file === null) return null;
  const { at, cause, suspended } = file;
  if (!isTime(at) || (cause !== "locked" && cause !== "gone")) return null;
  if (!Array.isArray(suspended) || !suspended.every(isText)) return null;
  return { atMs: at, cause, suspended };
}

/** Writes until when silence trips nothing: `pause.json`. */
export function buildPause(untilMs: number): Buffer {
  return toFile({ until: untilMs });
}

/** Reads it; null where it is damaged. */
export function parsePause(bytes: Buffer): number | null {
  const until = fileOf(bytes, ["until"])?.["until"];
  return isTime(until) ? until : null;
}

const toFile = (json: object): Buffer => Buffer.from(`${JSON.stringify(json)}\n`);

function fileOf(bytes: Buffer, members: readonly string[]): JsonObject | null {
  try {
    const json = parseJson(bytes, "the file", { lengthBytes: TETHER_FILE_BYTES, depth: 4 });
    return hasExactly(json, members) ? json : null;
  } catch {
    return null;
  }
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === "string" && value.length <= TEXT_LENGTH;
const isTime = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
