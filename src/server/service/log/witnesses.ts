import { createPublicKey } from "node:crypto";
import { NightlatchError } from "../../../core/errors.ts";
import { EMPTY_RANGE, rootOf } from "../../../formats/log/merkle.ts";
import {
  COSIGNATURE,
  formatVerifier,
  originOf,
  parseVerifier,
  rawKey,
  type Verifier,
} from "../../../formats/log/note.ts";
import { WITNESS_COUNT } from "../../../formats/own/agent-config.ts";
import { isBaseAddress } from "../../../formats/own/invite.ts";
import type { WitnessedLogRow, WitnessRow } from "../../store/rows.ts";
import type { Service } from "../service.ts";
import { witnessOf } from "./witness.ts";

/** Each may have a row written as often as its log grows. */
const MAX_LOGS = 64;
const NAME_LENGTH = 128;

/** Who an operator is. */
interface Operator {
  /** User id. */
  readonly by: number;
}

/** What there is of witnesses. */
interface WitnessState {
  /** This server as a log, and as a witness. */
  readonly log: Verifier;
  readonly witness: Verifier;
  /** Who is asked, and what each has signed last; null for nothing. */
  readonly witnesses: readonly (WitnessRow & {
    readonly last: { readonly size: number; readonly seconds: number } | null;
  })[];
  /** Which logs are cosigned here. */
  readonly logs: readonly WitnessedLogRow[];
}

/** Tells of them. @throws NightlatchError store/* */
export async function listWitnesses(service: Service): Promise<WitnessState> {
  return service.store.transact(async (transaction) => {
    const cosigned = await transaction.cosigned();
    const witnesses = (await transaction.witnesses()).map((row) => {
      const found = cosigned.find(({ witness }) => witness.origin === row.name);
      const last = found === undefined ? null : { size: found.checkpoint.size, seconds: found.cosignature.seconds };
      return { ...row, last };
    });
    const log = { origin: originOf(service.storeId), publicKey: createPublicKey(service.identity) };
    return { log, witness: witnessOf(service), witnesses, logs: await transaction.witnessedLogs() };
  });
}

/**
 * Has a witness asked to cosign this log from now on.
 * @param wanted.verifier its key, of a witness
 * @returns false where it was so already
 * @throws NightlatchError witness/bad-key, witness/too-many, store/*
 */
export async function askWitness(
  service: Service,
  { url, verifier, by }: Operator & { readonly url: string; readonly verifier: string },
): Promise<boolean> {
  const read = parseVerifier(verifier, COSIGNATURE);
  if (read === null || read.origin.length > NAME_LENGTH) throw badKey("a witness");
  if (!isBaseAddress(url)) throw badUrl();
  const { origin: name, publicKey } = read;
  // Its own word adds nothing to its own log.
  if (name === witnessOf(service).origin || name.startsWith(`${originOf(service.storeId)}/`)) throw itself();
  return service.queue.submitFirst(async (transaction) => {
    const known = await transaction.witnesses();
    const before = known.find((row) => row.name === name);
    const isSame = before !== undefined && rawKey(before.publicKey).equals(rawKey(publicKey));
    if (isSame && before.url === url) return { outcome: false, entries: [] };
    if (before === undefined && known.length >= WITNESS_COUNT) throw tooMany(`${WITNESS_COUNT} witnesses`);
    if (!isSame) await transaction.deleteWitness(name);
    await transaction.setWitness({ name, publicKey, url, seen: isSame ? before.seen : 0 });
    const at = service.system.nowMs();
    return { outcome: true, entries: [{ kind: "witness-add", at, witness: name, key: verifier, url, by }] };
  });
}

/**
 * Has this server cosign a log from now on.
 * @param wanted.verifier its key, of a log
 * @returns false where it was so already
 * @throws NightlatchError witness/bad-key, witness/too-many, store/*
 */
export async function cosignLog(
  service: Service,
  { verifier, by }: Operator & { readonly verifier: string },
): Promise<boolean> {
  const read = parseVerifier(verifier);
  if (read === null || read.origin.length > NAME_LENGTH) throw badKey("a log");
  const { origin, publicKey } = read;
  if (origin === originOf(service.storeId)) throw itself();
  return service.queue.submitFirst(async (transaction) => {
    const known = await transaction.witnessedLog(origin);
    if (known !== null && rawKey(known.publicKey).equals(rawKey(publicKey))) return { outcome: false, entries: [] };
    // A key that was replaced under the same origin would take what was signed with it.
    if (known !== null) throw otherKey(origin);
    if ((await transaction.witnessedLogs()).length >= MAX_LOGS) throw tooMany(`the logs of ${MAX_LOGS} others`);
    const root = rootOf(EMPTY_RANGE);
    await transaction.setWitnessedLog({ origin, publicKey, size: 0, root, note: "", cosignedMs: null });
    const at = service.system.nowMs();
    return { outcome: true, entries: [{ kind: "witnessed-add", at, origin, key: verifier, by }] };
  });
}

/**
 * Asks a witness no more, or cosigns a log no more; what was signed is forgotten.
 * @param name the witness's name, or the log's origin
 * @returns which of the two it was
 * @throws NightlatchError witness/unknown, store/*
 */
export async function removeWitness(service: Service, name: string, { by }: Operator): Promise<"witness" | "log"> {
  return service.queue.submitFirst(async (transaction) => {
    const at = service.system.nowMs();
    const log = await transaction.witnessedLog(name);
    if (log !== null) {
      await transaction.deleteWitnessedLog(name);
      return { outcome: "log", entries: [{ kind: "witnessed-remove", at, origin: name, size: log.size, by }] };
    }
    if (!(await transaction.witnesses()).some((row) => row.name === name)) throw unknown(name);
    await transaction.deleteWitness(name);
    return { outcome: "witness", entries: [{ kind: "witness-remove", at, witness: name, by }] };
  });
}

/** The verifier key of a witness, and of a log. */
export function keyText(verifier: Verifier, of: "witness" | "log"): string {
  const { origin, publicKey } = verifier;
  return of === "log" ? formatVerifier(origin, publicKey) : formatVerifier(origin, publicKey, COSIGNATURE);
}

const UNCHANGED = "Nothing was changed.";

function badKey(what: string): NightlatchError {
  return new NightlatchError("witness/bad-key", `that is not the verifier key of ${what}`, {
    meaning: UNCHANGED,
    remedy: "Take it as it is shown at the other server: nightlatch witness list",
  });
}

function badUrl(): NightlatchError {
  return new NightlatchError("witness/bad-key", "that is not the address of a server", {
    meaning: UNCHANGED,
    remedy: "Give http:// or https://, a host and, if need be, a port and a path, without a query.",
  });
}

function itself(): NightlatchError {
  return new NightlatchError("witness/bad-key", "that is this server's own key", {
    meaning: "A witness of one's own log says nothing. Nothing was changed.",
    remedy: "Take the key of another server, which somebody else runs: nightlatch witness list, there",
  });
}

function otherKey(origin: string): NightlatchError {
  return new NightlatchError("witness/bad-key", `${origin} is cosigned here already, by another key of its own`, {
    meaning: UNCHANGED,
    remedy: `Ask who runs it why. If the new key is the right one, first: nightlatch witness remove ${origin}`,
  });
}

function tooMany(what: string): NightlatchError {
  return new NightlatchError("witness/too-many", `a server has ${what} at most`, {
    meaning: UNCHANGED,
    remedy: "Remove one that is not needed: nightlatch witness remove NAME",
  });
}

function unknown(name: string): NightlatchError {
  return new NightlatchError(
    "witness/unknown",
    `${name} is neither a witness of this server nor a log that it cosigns`,
    {
      meaning: UNCHANGED,
      remedy: "See what there is: nightlatch witness list",
    },
  );
}
