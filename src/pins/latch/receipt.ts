import { isError, NightlatchError } from "../../core/errors.ts";
import type { AttemptLimits } from "../../core/limits.ts";
import { COSIGNATURE, NOTE_BYTES, parseVerifier } from "../../formats/log/note.ts";
import type { WitnessConfig } from "../../formats/own/agent-config.ts";
import { ENROLMENT_BYTES, ENROLMENT_TYPE, NONCE_BYTES } from "../../formats/own/enrolment.ts";
import {
  logNoteName,
  notCosignedName,
  refusedIn,
  type ServerRefusal,
  wentBackName,
} from "../../formats/own/log-files.ts";
import { buildReceiptRequest, type ProvedReceipt, parseReceiptAnswer } from "../../formats/own/receipt.ts";
import { parseRefusal } from "../../formats/own/refusal.ts";
import type { WantedWitnesses, Witnessed } from "../../formats/own/witnessed.ts";
import type { HttpResponse, System } from "../../system/port.ts";
import { type EnrolledServer, readIdentity } from "./machine.ts";

/** What it takes to ask a server for receipts, and to keep what its log had come to. */
export type ReceiptPower = Pick<
  System,
  "readFileIfPresent" | "listDirectory" | "writeFile" | "removeFile" | "request" | "random"
>;

const FILE_MODE = 0o600;

/** What it takes to ask, and to keep nothing. */
export type ProofPower = Pick<ReceiptPower, "readFileIfPresent" | "request" | "random">;

type ReceiptOptions = AttemptLimits & {
  /** Who must have signed the log; null where nobody must. */
  readonly witness: WitnessConfig | null;
};

/**
 * Asks a server for the last release of one of this machine's latches, verifies what it proves, and
 * keeps the log's checkpoint for the next time: docs/format/receipt.md, "What is kept".
 * @param latch id, base64url
 * @param options.witness whether enough of them did is told in the answer, and is not judged here
 * @returns null where the server is of a version that gives no receipts, never gave one, and
 *   nobody must have signed
 * @throws NightlatchError receipt/went-back: the log is not the one that was seen before, and hides
 *   it; both checkpoints are kept, and the server is refused from now on
 * @throws NightlatchError receipt/not-proved, net/*, machine/*, enrolment/*, pin/busy, file/*
 */
export async function askReceipt(
  system: ReceiptPower,
  stateFolder: string,
  server: EnrolledServer,
  latch: string,
  options: ReceiptOptions,
): Promise<ProvedReceipt | null> {
  const proved = await proveReceipt(system, stateFolder, server, latch, options);
  if (proved === null) return null;
  const isBack = proved.growth === "went-back";
  const path = isBack ? evidencePath(stateFolder, server.thumbprint) : notePath(stateFolder, server.thumbprint);
  await system.writeFile(path, Buffer.from(proved.note), FILE_MODE);
  if (isBack) throw wentBack(server);
  return proved;
}

/**
 * Asks as `askReceipt` does, and changes nothing here. A log that went back is told as its growth.
 * @throws NightlatchError receipt/not-proved, net/*, machine/*, enrolment/*, pin/busy, file/*
 */
export async function proveReceipt(
  system: ProofPower,
  stateFolder: string,
  server: EnrolledServer,
  latch: string,
  { timeoutMs, signal, witness }: ReceiptOptions,
): Promise<ProvedReceipt | null> {
  const witnesses = witness === null ? null : witnessesOf(witness);
  const identity = await readIdentity(system, stateFolder);
  if (identity === null) throw new NightlatchError("machine/not-enrolled", "this machine has no identity");
  const path = notePath(stateFolder, server.thumbprint);
  const held = await readNote(system, path);
  const size = held === null ? 0 : sizeIn(held, path);
  const wanted = {
    nonce: system.random(NONCE_BYTES),
    server: server.thumbprint,
    latch,
    size,
    cosigned: witness?.need ?? null,
  };
  const request = buildReceiptRequest(identity, wanted);
  const response = await system.request({
    method: "POST",
    url: `${server.url}/machine/${server.machine}/receipt`,
    headers: { "content-type": ENROLMENT_TYPE },
    body: request,
    limitBytes: ENROLMENT_BYTES,
    timeoutMs,
    ...(signal === undefined ? {} : { signal }),
  });
  if (response.status !== 200) return refused(server, response, held !== null || witness !== null);
  const { thumbprint: serverThumbprint, machine } = server;
  const proved = parseReceiptAnswer(response.body, { request, serverThumbprint, machine, latch, held, witnesses });
  if (proved.growth === "unknown") damaged(path, "is not this server's, or was changed");
  return proved;
}

/**
 * Lists the servers that are refused, by their thumbprints, and why.
 * @throws NightlatchError file/*
 */
export async function listRefusedServers(
  system: Pick<System, "listDirectory">,
  stateFolder: string,
): Promise<ReadonlyMap<string, ServerRefusal>> {
  return refusedIn(await system.listDirectory(stateFolder));
}

/**
 * Takes the log of a server as it is now for the one to hold it to from now on.
 * @returns whether it had been refused
 * @throws NightlatchError file/*
 */
export async function acceptLog(system: ReceiptPower, stateFolder: string, server: EnrolledServer): Promise<boolean> {
  const unsigned = await forgiveMissing(system, stateFolder, server);
  const evidence = evidencePath(stateFolder, server.thumbprint);
  const note = await readNote(system, evidence);
  if (note === null) return unsigned;
  // In this order: cut short in between, it is refused still, and the next acceptance completes it.
  await system.writeFile(notePath(stateFolder, server.thumbprint), Buffer.from(note), FILE_MODE);
  await system.removeFile(evidence);
  return true;
}

/**
 * Has a server refused from now on, since its witnesses have not signed its log.
 * @throws NightlatchError file/*
 */
export async function refuseUnsigned(
  system: Pick<System, "writeFile">,
  stateFolder: string,
  { thumbprint }: EnrolledServer,
): Promise<void> {
  await system.writeFile(`${stateFolder}/${notCosignedName(thumbprint)}`, NOTHING, FILE_MODE);
}

const NOTHING = Buffer.alloc(0);

/**
 * Has a server refused no more for what its witnesses had not signed.
 * @returns whether it was
 * @throws NightlatchError file/*
 */
export async function forgiveMissing(
  system: Pick<System, "listDirectory" | "removeFile">,
  stateFolder: string,
  { thumbprint }: EnrolledServer,
): Promise<boolean> {
  const name = notCosignedName(thumbprint);
  if (!(await system.listDirectory(stateFolder)).includes(name)) return false;
  await system.removeFile(`${stateFolder}/${name}`);
  return true;
}

/** The error of a server that is refused. */
export function errorOfRefused(server: Pick<EnrolledServer, "url" | "name">, reason: ServerRefusal): NightlatchError {
  return reason === "went-back" ? wentBack(server) : notCosigned(server, null, null);
}

/**
 * The error of a server whose log its witnesses have not signed.
 * @param witnessed what they have signed; null where that is not known now
 */
export function notCosigned(
  { url, name }: Pick<EnrolledServer, "url" | "name">,
  witnessed: Witnessed | null,
  witness: WitnessConfig | null,
): NightlatchError {
  const { host } = new URL(url);
  const signed =
    witnessed === null || witness === null
      ? ""
      : `: ${witnessed.by.length} of ${witness.need} did, of ${witnessed.size} entries`;
  return new NightlatchError(
    "receipt/not-cosigned",
    `the log of ${host} is not signed by the witnesses that this machine wants${signed}`,
    {
      meaning:
        "A witness is down, or it has seen another log: then what was locked or revoked may be released again. " +
        "The volumes are unchanged; their passphrase opens them, and other bindings do.",
      remedy:
        "Ask who runs the server and its witnesses (nightlatch witness list there), then: nightlatch receipt show. " +
        `To rely on the server as it is, where it is refused: nightlatch receipt accept ${name}`,
    },
  );
}

/** @throws NightlatchError agent/bad-config */
function witnessesOf({ keys, need }: WitnessConfig): WantedWitnesses {
  return {
    need,
    known: keys.map((key) => {
      const witness = parseVerifier(key, COSIGNATURE);
      if (witness !== null) return witness;
      throw new NightlatchError("agent/bad-config", `[witness] in agent.toml: ${key} was changed`, {
        meaning: "Whether witnesses have signed a server's log cannot be told.",
        remedy: "Take the key as it is shown at the witness: nightlatch witness list",
      });
    }),
  };
}

/** The error of a server whose log went back. */
export function wentBack({ url, name }: Pick<EnrolledServer, "url" | "name">): NightlatchError {
  const { host } = new URL(url);
  return new NightlatchError("receipt/went-back", `${host} shows another log than before, and does not say why`, {
    meaning:
      "An older copy of its store was put back, or its log was rewritten: what was locked or revoked may be released again. " +
      "The volumes are unchanged; their passphrase opens them, and other bindings do.",
    remedy: `Ask who runs the server. If its log is right as it is now, on this machine: nightlatch receipt accept ${name}`,
  });
}

/** A refusal is not signed: whoever sits in between can refuse, as he can cut the line. */
function refused({ url }: EnrolledServer, { status, body }: HttpResponse, hasGiven: boolean): null {
  const code = parseRefusal(body);
  // Whoever sits in between could say so too, of a server that has given receipts before.
  if (status === 404 && code === null && !hasGiven) return null;
  const { host } = new URL(url);
  const told = `status ${status}${code === null ? "" : `, ${code}`}`;
  if (status === 429 || status >= 500) throw new NightlatchError("pin/busy", `${host} gives no receipt now (${told})`);
  throw new NightlatchError("enrolment/refused", `${host} gives this machine no receipt (${told})`);
}

async function readNote(system: Pick<System, "readFileIfPresent">, path: string): Promise<string | null> {
  try {
    return (await system.readFileIfPresent(path, NOTE_BYTES))?.toString("utf8") ?? null;
  } catch (error) {
    if (isError(error, "file/too-large")) damaged(path, "is too large");
    throw error;
  }
}

/** The second line of a note: the size. Whose it is, and whether it is whole, is seen later. */
function sizeIn(note: string, path: string): number {
  const size = /^[^\n]+\n(\d{1,15})\n/.exec(note)?.[1];
  return size === undefined ? damaged(path, "is no checkpoint") : Number(size);
}

function damaged(path: string, what: string): never {
  throw new NightlatchError("machine/bad-state", `${path} ${what}`, {
    meaning: "Whether the server's log has grown from the one that was seen before cannot be told.",
    remedy: `Look at the log at the server, with nightlatch audit verify; then remove ${path}.`,
  });
}

function notePath(stateFolder: string, thumbprint: string): string {
  return `${stateFolder}/${logNoteName(thumbprint)}`;
}

function evidencePath(stateFolder: string, thumbprint: string): string {
  return `${stateFolder}/${wentBackName(thumbprint)}`;
}
