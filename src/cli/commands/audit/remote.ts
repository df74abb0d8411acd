import { createPublicKey } from "node:crypto";
import { NightlatchError } from "../../../core/errors.ts";
import type { Json, JsonObject } from "../../../formats/json/json.ts";
import { findCosignature } from "../../../formats/log/cosignature.ts";
import { unpackRange } from "../../../formats/log/merkle.ts";
import { COSIGNATURE, originOf, parseVerifier } from "../../../formats/log/note.ts";
import type {
  KnownGroup,
  KnownInvite,
  KnownLatch,
  KnownMachine,
  KnownRequest,
  KnownWitness,
  KnownWitnessedLog,
} from "../../../server/audit/replay/known.ts";
import type { AuditSource, NumberedCosignature, Snapshot } from "../../../server/audit/verify.ts";
import type { System } from "../../../system/port.ts";
import { askServer } from "../../operator-client.ts";

/**
 * The log of a running server, over its admin socket: the server hands out what it has, and it is
 * verified here.
 */
export async function openRemoteAudit(
  system: Pick<System, "request">,
  socketPath: string,
): Promise<AuditSource & Disposable> {
  const ask = (...path: string[]) => askServer(system, socketPath, "GET", ["audit", ...path]);
  const snapshot = parseSnapshot(await ask());
  const origin = originOf(snapshot.storeId);
  return {
    snapshot,
    entries: async (from) =>
      rowsOf((await ask("entries", String(from)))["entries"]).map((row) => ({
        number: Number(row["number"]),
        body: bytesOf(row["body"]),
      })),
    checkpoints: async (after) =>
      rowsOf((await ask("checkpoints", String(after)))["checkpoints"]).map((row) => ({
        origin,
        size: Number(row["size"]),
        root: bytesOf(row["root"]),
        signature: bytesOf(row["signature"]),
      })),
    cosignatures: async () => rowsOf((await ask("cosignatures"))["cosignatures"]).map(cosignatureOf),
    [Symbol.dispose]: () => {},
  };
}

function parseSnapshot(answer: JsonObject): Snapshot {
  const { store, identity, size, edge, machines, latches, groups, invites, requests, witnesses, witnessedLogs } =
    answer;
  const unpacked = unpackRange(Number(size), bytesOf(edge));
  if (typeof store !== "string" || typeof identity !== "string" || unpacked === null) throw unusable();
  return {
    storeId: store,
    identity: importIdentity(identity),
    range: unpacked,
    // Only compared with what the log says, member by member: what is not as it should be differs.
    machines: rowsOf(machines) as unknown as KnownMachine[],
    latches: rowsOf(latches) as unknown as KnownLatch[],
    groups: rowsOf(groups) as unknown as KnownGroup[],
    invites: rowsOf(invites) as unknown as KnownInvite[],
    requests: rowsOf(requests) as unknown as KnownRequest[],
    witnesses: rowsOf(witnesses) as unknown as KnownWitness[],
    witnessedLogs: rowsOf(witnessedLogs) as unknown as KnownWitnessedLog[],
  };
}

function cosignatureOf({ size, verifier, line }: JsonObject): NumberedCosignature {
  const witness = parseVerifier(String(verifier), COSIGNATURE);
  const cosignature = witness === null ? null : findCosignature(String(line), witness);
  if (witness === null || cosignature === null) throw unusable();
  return { size: Number(size), witness, cosignature };
}

function importIdentity(x: string): Snapshot["identity"] {
  try {
    return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  } catch {
    throw unusable();
  }
}

function rowsOf(value: Json | undefined): JsonObject[] {
  if (Array.isArray(value) && value.every((row) => row !== null && typeof row === "object" && !Array.isArray(row))) {
    return value as JsonObject[];
  }
  throw unusable();
}

function bytesOf(value: Json | undefined): Buffer {
  if (typeof value === "string") return Buffer.from(value, "base64");
  throw unusable();
}

function unusable(): NightlatchError {
  return new NightlatchError("json/malformed", "the server's answer is not a part of its log", {
    remedy: "The command and the server may be of different versions: restart the server after an upgrade.",
  });
}
