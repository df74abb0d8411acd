// @ts-nocheck
import { createPrivateKey, type KeyObject } from "node:crypto";
import { NightlatchError } from "../../core/errors.ts";
import { importEd25519Seed } from "../../formats/jose/jwk.ts";
import { type JsonObject, parseJson } from "../../formats/json/json.ts";
import { hasExactly, isBase64urlOf } from "../../formats/json/narrow.ts";
import { isMachineName, isVolumeId, NONCE_BYTES } from "../../formats/own/enrolment.ts";
import { isBaseAddress } from "../../formats/own/invite.ts";
import type { System } from "../../system/port.ts";

/**
 * What it takes to keep a machine's identity and its servers: docs/format/enrolment.md, "What is
 * kept on the machine". Every write is durable before what it says is used. Runs that change it
 * must not overlap; `bind` holds a lock.
 */
export type StatePower = Pick<
  System,
  "readFile" | "readFileIfPresent" | "writeFile" | "removeFile" | "makeDirectory" | "listDirectory" | "random"
>;

/** A server that this machine is enrolled at. */
export interface EnrolledServer {
  /** Base address. */
  readonly url: string;
  /** Thumbprint of the server's identity. */
  readonly thumbprint: string;
  /** This machine's id there, and its name. */
  readonly machine: string;
  readonly name: string;
}

const FILE_BYTES = 4096;
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
const SEED_BYTES = 32;

/**
 * Reads the machine's identity, an Ed25519 private key; null where it has none yet.
 * @throws NightlatchError machine/bad-state, file/*
 */
export async function readIdentity(
  system: Pick<System, "readFileIfPresent">,
  stateFolder: string,
): Promise<KeyObject | null> {
  const path = identityPath(stateFolder);
  const der = await system.readFileIfPresent(path, FILE_BYTES);
  if (der === null) return null;
  try {
    const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
    if (key.asymmetricKeyType === "ed25519") return key;
  } catch {
    // said below, without the cause: it could quote the key
  } finally {
    der.fill(0);
  }
  throw badState(path, "is not an Ed25519 private key");
}

/**
 * Reads the machine's identity; where there is none, one is made and kept first.
 * @throws NightlatchError machine/bad-state, file/*
 */
export async function readOrMakeIdentity(system: StatePower, stateFolder: string): Promise<KeyObject> {
  const present = await readIdentity(system, stateFolder);
  if (present !== null) return present;
  const seed = system.random(SEED_BYTES);
  const identity = importEd25519Seed(seed);
  seed.fill(0);
  const der = identity.export({ format: "der", type: "pkcs8" });
  try {
    await system.makeDirectory(stateFolder, FOLDER_MODE);
    await system.writeFile(identityPath(stateFolder), der, FILE_MODE);
  } finally {
    der.fill(0);
  }
  return identity;
}

/**
 * Lists the servers that this machine is enrolled at, in the order of their thumbprints.
 * @throws NightlatchError machine/bad-state, file/*
 */
export async function listServers(
  system: Pick<System, "readFile" | "listDirectory">,
  stateFolder: string,
): Promise<EnrolledServer[]> {
  const names = (await system.listDirectory(stateFolder)).filter((name) => /^server-[\w-]{43}\.json$/.test(name));
  return Promise.all(names.map((name) => readServer(system, `${stateFolder}/${name}`)));
}

/**
 * Keeps what this machine needs to know of a server. It is durable when it returns.
 * @throws NightlatchError file/*
 */
export async function keepServer(system: StatePower, stateFolder: string, server: EnrolledServer): Promise<void> {
  const { url, thumbprint, machine, name } = server;
  await writeJson(system, `${stateFolder}/server-${thumbprint}.json`, { url, thp: thumbprint, machine, name });
}

/**
 * Gives the nonce of a request for this volume: the one of an earlier request that may have been
 * sent, or a new one, which is kept first. It stays the same until `forgetNonce`, so that a run
 * which was cut short is answered with the latch that it was given.
 * @param request.invite its id; another invite than the kept one begins anew. null: any
 * @throws NightlatchError machine/bad-state, enrolment/malformed (the volume's UUID), file/*
 */
export async function readOrMakeNonce(
  system: StatePower,
  stateFolder: string,
  request: { readonly volume: string; readonly invite: string | null },
): Promise<Buffer> {
  const path = noncePath(stateFolder, request.volume);
  const kept = await system.readFileIfPresent(path, FILE_BYTES);
  if (kept !== null) {
    const { nonce, invite } = membersOf(kept, path, ["invite", "nonce"]);
    if (!isBase64urlOf(nonce, NONCE_BYTES)) throw badState(path, "holds no nonce");
    if (request.invite === null || request.invite === invite) return Buffer.from(nonce, "base64url");
  }
  const nonce = system.random(NONCE_BYTES);
  await system.makeDirectory(stateFolder, FOLDER_MODE);
  await writeJson(system, path, { nonce: nonce.toString("base64url"), invite: request.invite });
  return nonce;
}

/**
 * Forgets a volume's nonce. Call it once the binding is durable in the volume's header, or was
 * given up for good.
 * @throws NightlatchError enrolment/malformed (the volume's UUID), file/*
 */
export async function forgetNonce(
  system: Pick<System, "removeFile">,
  stateFolder: string,
  volume: string,
): Promise<void> {
  await system.removeFile(noncePath(stateFolder, volume));
}

async function readServer(system: Pick<System, "readFile">, path: string): Promise<EnrolledServer> {
  const { url, thp, machine, name } = membersOf(await system.readFile(path, FILE_BYTES), path, [
    "machine",
    "name",
    "thp",
    "url",
  ]);
  if (typeof url !== "string" || !isBaseAddress(url)) throw badState(path, "holds no address of a server");
  if (!isBase64urlOf(thp, 32)) throw badState(path, "holds no thumbprint");
  if (!isBase64urlOf(machine, 32)) throw badState(path, "holds no id of the machine");
  if (typeof name !== "string" || !isMachineName(name)) throw badState(path, "holds no name of the machine");
  return { url, thumbprint: thp, machine, name };
}

function membersOf(bytes: Buffer, path: string, members: readonly string[]): JsonObject {
  try {
    const json = parseJson(bytes, path, { lengthBytes: FILE_BYTES });
    if (hasExactly(json, members)) return json;
  } catch {
    // said below
  }
  throw badState(path, "is damaged");
}

function writeJson(system: Pick<System, "writeFile">, path: string, json: JsonObject): Promise<void> {
  return system.writeFile(path, Buffer.from(`${JSON.stringify(json)}\n`), FILE_MODE);
}

function identityPath(stateFolder: string): string {
  return `${stateFolder}/identity.key`;
}

function noncePath(stateFolder: string, volume: string): string {
  if (!isVolumeId(volume)) throw new NightlatchError("enrolment/malformed", "the volume has no usable UUID");
  return `${stateFolder}/pending-${volume}.json`;
}

function badState(path: string, what: string): NightlatchError {
  return new NightlatchError("machine/bad-state", `${path} ${what}`, {
    meaning: "The machine cannot speak for itself. Its volumes open as before.",
    remedy: "Restore the file from a backup; without one, move the folder away and enrol the machine again.",
  });
}
