// @ts-nocheck
import { Secret } from "../../core/secret.ts";
import { type InitramfsVolume, volumeOption } from "../../formats/initramfs/crypttab.ts";
import { liesInMemory } from "../../host/file-system.ts";
import { findSlotOpenedBy } from "../../luks/cryptsetup/keyslots.ts";
import type { System } from "../../system/port.ts";
import type { FoundVolume } from "./volumes.ts";

const KEY_LIMIT_BYTES = 8 << 20; // cryptsetup's own limit for a key file

type Power = Pick<System, "run" | "readAt" | "stat">;

/**
 * Whether a key file, or the part of it that the volume's line names, opens the volume now;
 * `in-memory`: it does not outlive this boot, and whoever makes it at the next one cannot be tried.
 * One of a volume that is no LUKS cannot be wrong.
 * @throws NightlatchError file/*
 */
export async function tryKeyFile(
  system: Power,
  entry: Pick<InitramfsVolume, "options">,
  path: string,
  { device, header }: FoundVolume,
): Promise<"opens" | "fails" | "in-memory"> {
  if (await liesInMemory(system, path)) return "in-memory";
  if (header === null) return "opens";
  const offset = sizeOption(entry, "keyfile-offset") ?? 0;
  const size = sizeOption(entry, "keyfile-size") ?? KEY_LIMIT_BYTES;
  using key = Secret.take(await system.readAt(path, offset, Math.min(size, KEY_LIMIT_BYTES)));
  if (key.lengthBytes === 0) return "fails";
  return (await findSlotOpenedBy(system, { device }, header, key)) === null ? "fails" : "opens";
}

function sizeOption(entry: Pick<InitramfsVolume, "options">, name: string): number | null {
  const text = volumeOption(entry, name);
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}
