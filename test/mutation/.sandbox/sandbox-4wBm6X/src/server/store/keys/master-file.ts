// @ts-nocheck
import { isError, NightlatchError } from "../../../core/errors.ts";
import { Secret } from "../../../core/secret.ts";
import type { System } from "../../../system/port.ts";
import { MASTER_KEY_BYTES, MasterKey } from "./wrap.ts";

/** The name of the master key in a data folder. */
export const MASTER_NAME = "master.key";
/** The next master key of a store that is being brought to a newer version. */
export const NEXT_MASTER_NAME = "master.key.next";

/**
 * The name that systemd has for the sealed master key: systemd.exec(5), LoadCredentialEncrypted=.
 */
export const CREDENTIAL_NAME = "nightlatch-server.master.key";
/** Where the sealed master key lies. */
export const SEALED_MASTER_PATH = `/etc/credstore.encrypted/${CREDENTIAL_NAME}`;

type KeySystem = Pick<System, "readFile" | "writeFile" | "openInPlace" | "removeFile" | "random">;

/** Where the master key lies in a data folder. */
export function masterPath(folder: string): string {
  return `${folder}/${MASTER_NAME}`;
}

/** Makes a master key, durably. @throws NightlatchError file/* */
export async function makeMasterKey(system: Pick<KeySystem, "writeFile" | "random">, path: string): Promise<void> {
  using key = Secret.take(system.random(MASTER_KEY_BYTES));
  await system.writeFile(path, key.reveal(), 0o600);
}

/**
 * Reads a master key.
 * @throws NightlatchError store/master-key where the file holds none, file/*
 */
export async function readMasterKey(system: Pick<KeySystem, "readFile">, path: string): Promise<MasterKey> {
  const key = await readKey(system, path);
  if (key !== null) return key;
  throw new NightlatchError(
    "store/master-key",
    `${path} is not a master key: it should be ${MASTER_KEY_BYTES} bytes long`,
    {
      meaning: "Without it no key in the store can be used. Nothing was started, nothing was changed.",
      remedy: `Restore ${path} from a backup.`,
    },
  );
}

/** Reads the next master key. Null where there is none. @throws NightlatchError file/* */
export async function readNextMasterKey(
  system: Pick<KeySystem, "readFile">,
  folder: string,
): Promise<MasterKey | null> {
  return await readIfThere(system, `${folder}/${NEXT_MASTER_NAME}`);
}

/**
 * Reads the master key of a folder. Null where there is none, or one whose removal was interrupted.
 * @throws NightlatchError file/*
 */
export async function readPlainMasterKey(
  system: Pick<KeySystem, "readFile">,
  folder: string,
): Promise<MasterKey | null> {
  return await readIfThere(system, masterPath(folder));
}

async function readIfThere(system: Pick<KeySystem, "readFile">, path: string): Promise<MasterKey | null> {
  try {
    return await readKey(system, path);
  } catch (error) {
    if (isError(error, "file/missing")) return null;
    throw error;
  }
}

/** Whether the key in the folder can be destroyed. A secret that is mounted read-only cannot. */
export async function isReplaceable(system: Pick<KeySystem, "openInPlace">, folder: string): Promise<boolean> {
  try {
    using file = await system.openInPlace(masterPath(folder));
    return file.sizeBytes === MASTER_KEY_BYTES;
  } catch (error) {
    if (isError(error, "file/denied")) return false;
    throw error;
  }
}

/**
 * Writes the next master key over the older one, where it lies. Until this is done the next one is
 * in a file of its own too.
 * @throws NightlatchError file/*
 */
export async function replaceMasterKey(system: KeySystem, folder: string, next: MasterKey): Promise<void> {
  {
    using file = await system.openInPlace(masterPath(folder));
    file.write(0, next.reveal());
    file.sync();
  }
  await removeNextMasterKey(system, folder);
}

/**
 * Removes the next master key, and overwrites it before. One that is not there is fine.
 * @throws NightlatchError file/*
 */
export async function removeNextMasterKey(system: KeySystem, folder: string): Promise<void> {
  await removeOverwritten(system, `${folder}/${NEXT_MASTER_NAME}`);
}

async function removeOverwritten(system: KeySystem, path: string): Promise<void> {
  try {
    using file = await system.openInPlace(path);
    file.write(0, Buffer.alloc(file.sizeBytes));
    file.sync();
  } catch (error) {
    if (isError(error, "file/missing")) return;
    throw error;
  }
  await system.removeFile(path);
}

/** Null where the file holds none. */
async function readKey(system: Pick<KeySystem, "readFile">, path: string): Promise<MasterKey | null> {
  try {
    const bytes = await system.readFile(path, MASTER_KEY_BYTES);
    const isKey = bytes.length === MASTER_KEY_BYTES && bytes.some((byte) => byte !== 0);
    const key = isKey ? new MasterKey(Secret.copy(bytes)) : null;
    bytes.fill(0);
    return key;
  } catch (error) {
    if (isError(error, "file/too-large")) return null;
    throw error;
  }
}

/**
 * Reads the master key that systemd has unsealed for this process. Null where it has not.
 * @throws NightlatchError store/master-key, file/*
 */
export async function readSealedMasterKey(
  system: Pick<KeySystem, "readFile">,
  credentials: string | undefined,
): Promise<MasterKey | null> {
  if (credentials === undefined) return null;
  try {
    return await readMasterKey(system, `${credentials}/${CREDENTIAL_NAME}`);
  } catch (error) {
    if (isError(error, "file/missing")) return null;
    throw error;
  }
}

/**
 * Removes the master key of a folder, once the sealed one is known to do. It is overwritten before.
 * @throws NightlatchError file/*
 */
export async function removePlainMasterKey(system: KeySystem, folder: string): Promise<void> {
  await removeOverwritten(system, masterPath(folder));
}
