import { SMALL_PROGRAM_MS } from "../../core/deadlines.ts";
import { Secret } from "../../core/secret.ts";
import { type InitramfsVolume, volumeOption } from "../../formats/initramfs/crypttab.ts";
import { findSlotOpenedBy } from "../../luks/cryptsetup/keyslots.ts";
import type { System } from "../../system/port.ts";
import type { FoundVolume } from "./volumes.ts";

const KEY_LIMIT_BYTES = 8 << 20; // cryptsetup's own limit for a key file

type Power = Pick<System, "run" | "readAt" | "stat">;

/**
 * Whether a key file, or the part of it that the volume's line names, opens the volume now; `in-memory`: it does not outlive this boot, and
 * whoever makes it at the next one cannot be tried. One of a volume that is no LUKS cannot be wrong.
 * @throws NightlatchError file/*
 */
export async function tryKeyFile(
  power: Power,
  entry: Pick<InitramfsVolume, "options">,
  path: string,
  { device, header }: FoundVolume,
): Promise<"opens" | "fails" | "in-memory"> {
  if (await liesInMemory(power, path)) return "in-memory";
  if (header === null) return "opens";
  const offset = sizeOption(entry, "keyfile-offset") ?? 0;
  const size = sizeOption(entry, "keyfile-size") ?? KEY_LIMIT_BYTES;
  using key = Secret.take(await power.readAt(path, offset, Math.min(size, KEY_LIMIT_BYTES)));
  if (key.lengthBytes === 0) return "fails";
  return (await findSlotOpenedBy(power, { device }, header, key)) === null ? "fails" : "opens";
}

function sizeOption(entry: Pick<InitramfsVolume, "options">, name: string): number | null {
  const text = volumeOption(entry, name);
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** A file under /run or on another tmpfs dies with this boot. */
async function liesInMemory(power: Pick<System, "run">, path: string): Promise<boolean> {
  const argv = ["findmnt", "-n", "-o", "FSTYPE", "--target", path] as const;
  const { status, stdout } = await power.run({ argv, deadlineMs: SMALL_PROGRAM_MS });
  return status === 0 && /^(?:tmpfs|ramfs|devtmpfs)$/.test(stdout.toString("latin1").trim());
}
