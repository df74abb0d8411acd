// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import { type CustomPart, findInCustom } from "../../../formats/grub/custom-cfg.ts";
import { type OneshotPower, unavailable } from "../loader.ts";

const LIMIT_BYTES = 1 << 20;
const TEMPORARY = /^custom\.cfg\.[0-9a-f]{12}\.tmp$/;

/**
 * Names the administrator's part of GRUB's configuration, in which ours is a guest.
 * @param folder that of grub.cfg
 */
export const customOf = (folder: string): string => `${folder}/custom.cfg`;

/**
 * Finds our part of custom.cfg. Null where there is none.
 * @throws NightlatchError oneshot/malformed, file/*
 */
export async function findPart(
  system: Pick<OneshotPower, "readFileIfPresent">,
  folder: string,
): Promise<CustomPart | null> {
  const custom = await system.readFileIfPresent(customOf(folder), LIMIT_BYTES);
  return custom === null ? null : findInCustom(custom);
}

/**
 * Lists what a write that was cut off left beside custom.cfg.
 * @throws NightlatchError file/*
 */
export async function temporaries(system: Pick<OneshotPower, "listDirectory">, folder: string): Promise<string[]> {
  return (await system.listDirectory(folder)).filter((name) => TEMPORARY.test(name));
}

/**
 * Reads custom.cfg as it is. Null where there is none. A file that could not be put back as it was
 * is refused.
 * @throws NightlatchError oneshot/unavailable, file/*
 */
export async function readOwnCustom(system: OneshotPower, folder: string): Promise<Buffer | null> {
  const path = customOf(folder);
  const facts = await system.stat(path);
  if (facts === null) return null;
  if ((await system.lstat(path))?.kind !== "file") throw unavailable(`${path} is a link`, "Put the file itself there.");
  if (facts.uid !== 0 || facts.gid !== 0)
    throw unavailable(`${path} does not belong to root`, `Run: chown 0:0 ${path}`);
  return system.readFile(path, LIMIT_BYTES);
}

/**
 * Makes sure that custom.cfg is as it was read: the administrator may have written to it while the
 * passphrase was asked for.
 * @throws NightlatchError oneshot/failed, file/*
 */
export async function requireUnchanged(system: OneshotPower, folder: string, custom: Buffer | null): Promise<void> {
  const now = await system.readFileIfPresent(customOf(folder), LIMIT_BYTES);
  if (custom === null ? now === null : now?.equals(custom) === true) return;
  throw new NightlatchError("oneshot/failed", `${customOf(folder)} was changed in the meantime`, {
    meaning: "It is left as it is. What was staged is taken back.",
    remedy: "Try again.",
  });
}

/**
 * Takes our part out of custom.cfg, and removes what is left of writing it. True where there was
 * one.
 * @throws NightlatchError oneshot/left-over, oneshot/malformed, file/*
 */
export async function removePart(system: OneshotPower, folder: string): Promise<boolean> {
  for (const name of await temporaries(system, folder)) await system.removeFile(`${folder}/${name}`);
  const part = await findPart(system, folder);
  if (part === null) return false;
  const mode = await customMode(system, folder);
  if (part.rest === null) await system.removeFile(customOf(folder));
  else await system.writeFile(customOf(folder), part.rest, mode);
  if ((await findPart(system, folder)) !== null) throw stays(customOf(folder));
  return true;
}

/** Tells the mode of custom.cfg, or of one that is to be made. */
export async function customMode(system: Pick<OneshotPower, "stat">, folder: string): Promise<number> {
  return (await system.stat(customOf(folder)))?.mode ?? 0o600;
}

/** Makes the error for a part of ours that could not be taken out of a file. */
export function stays(path: string): NightlatchError {
  return new NightlatchError("oneshot/left-over", `our part of ${path} could not be taken out`, {
    meaning: "The next boot may take an entry whose keys open nothing, and asks for the passphrase then.",
    remedy: "Run again: nightlatch oneshot disarm",
  });
}
