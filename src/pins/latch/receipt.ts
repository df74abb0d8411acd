import { isError, NightlatchError } from "../../core/errors.ts";
import type { AttemptLimits } from "../../core/limits.ts";
import { NOTE_BYTES } from "../../formats/log/note.ts";
import { ENROLMENT_BYTES, ENROLMENT_TYPE, NONCE_BYTES } from "../../formats/own/enrolment.ts";
import { logNoteName, refusedIn, wentBackName } from "../../formats/own/log-files.ts";
import { buildReceiptRequest, type ProvedReceipt, parseReceiptAnswer } from "../../formats/own/receipt.ts";
import { parseRefusal } from "../../formats/own/refusal.ts";
import type { HttpResponse, System } from "../../system/port.ts";
import { type EnrolledServer, readIdentity } from "./machine.ts";

/** What it takes to ask a server for receipts, and to keep what its log had come to. */
export type ReceiptPower = Pick<
  System,
  "readFileIfPresent" | "listDirectory" | "writeFile" | "removeFile" | "request" | "random"
>;

const FILE_MODE = 0o600;

/**
 * Asks a server for the last release of one of this machine's latches, verifies what it proves, and
 * keeps the log's checkpoint for the next time: docs/format/receipt.md, "What is kept".
 * @param latch id, base64url
 * @returns null where the server is of a version that gives no receipts, and never gave one
 * @throws NightlatchError receipt/went-back: the log is not the one that was seen before, and hides
 *   it; both checkpoints are kept, and the server is refused from now on
 * @throws NightlatchError receipt/not-proved, net/*, machine/*, enrolment/*, pin/busy, file/*
 */
export async function askReceipt(
  system: ReceiptPower,
  stateFolder: string,
  server: EnrolledServer,
  latch: string,
  { timeoutMs, signal }: AttemptLimits,
): Promise<ProvedReceipt | null> {
  const identity = await readIdentity(system, stateFolder);
  if (identity === null) throw new NightlatchError("machine/not-enrolled", "this machine has no identity");
  const path = notePath(stateFolder, server.thumbprint);
  const held = await readNote(system, path);
  const size = held === null ? 0 : sizeIn(held, path);
  const wanted = { nonce: system.random(NONCE_BYTES), server: server.thumbprint, latch, size };
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
  if (response.status !== 200) return refused(server, response, held !== null);
  const { thumbprint: serverThumbprint, machine } = server;
  const proved = parseReceiptAnswer(response.body, { request, serverThumbprint, machine, latch, held });
  if (proved.growth === "unknown") damaged(path, "is not this server's, or was changed");
  if (proved.growth === "went-back") {
    await system.writeFile(evidencePath(stateFolder, serverThumbprint), Buffer.from(proved.note), FILE_MODE);
    throw wentBack(server);
  }
  await system.writeFile(notePath(stateFolder, serverThumbprint), Buffer.from(proved.note), FILE_MODE);
  return proved;
}

/**
 * Lists the servers whose log went back, by their thumbprints.
 * @throws NightlatchError file/*
 */
export async function listRefusedServers(
  system: Pick<System, "listDirectory">,
  stateFolder: string,
): Promise<ReadonlySet<string>> {
  return refusedIn(await system.listDirectory(stateFolder));
}

/**
 * Takes the log of a server as it is now for the one to hold it to from now on.
 * @returns whether it had been refused
 * @throws NightlatchError file/*
 */
export async function acceptLog(system: ReceiptPower, stateFolder: string, server: EnrolledServer): Promise<boolean> {
  const evidence = evidencePath(stateFolder, server.thumbprint);
  const note = await readNote(system, evidence);
  if (note === null) return false;
  // In this order: cut short in between, it is refused still, and the next acceptance completes it.
  await system.writeFile(notePath(stateFolder, server.thumbprint), Buffer.from(note), FILE_MODE);
  await system.removeFile(evidence);
  return true;
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
