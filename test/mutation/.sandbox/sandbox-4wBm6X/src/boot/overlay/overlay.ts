// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { type CpioFile, writeCpio } from "../../formats/initramfs/cpio.ts";
import type { Generator, InitramfsFacts } from "../initramfs/inspect.ts";
import type { OverlayVolume } from "../initramfs/needed.ts";
import { handOverFiles, type LaterKey, OVERLAY_FOLDER } from "./hand-over.ts";
import { initramfsToolsFiles } from "./initramfs-tools.ts";
import { dracutFiles, mkinitcpioFiles, systemdFiles } from "./key-file.ts";

interface OverlayRequest {
  readonly generator: Generator;
  readonly facts: InitramfsFacts;
  /** All that the initramfs opens, in order, with a key for those that it gets one for. */
  readonly volumes: readonly OverlayVolume[];
  /** Volumes that the system opens later. */
  readonly later: readonly LaterKey[];
}

/**
 * Makes the archive that is put behind an initramfs: it opens the volumes with the keys that it
 * carries, each once, and leaves every prompt that there was. It holds keys: it belongs in memory
 * that is not swapped, and is to be wiped.
 * @throws NightlatchError boot/unsupported where the initramfs has no place for what is asked
 */
export function buildOverlay(request: OverlayRequest): Buffer {
  const files = [...generatorFiles(request), ...handOverFiles(request.later)];
  return writeCpio(files, { [OVERLAY_FOLDER]: 0o700, [`${OVERLAY_FOLDER}/later`]: 0o700 });
}

function generatorFiles({ generator, facts, volumes, later }: OverlayRequest): CpioFile[] {
  switch (generator) {
    case "initramfs-tools":
      return initramfsToolsFiles(facts, volumes, later.length > 0);
    case "dracut-systemd":
    case "mkinitcpio-systemd":
      return systemdFiles(volumes, later.length > 0);
    case "dracut":
      return dracutFiles(facts, volumes, later.length > 0);
    case "mkinitcpio":
      if (later.length > 0) {
        throw new NightlatchError("boot/unsupported", "mkinitcpio's encrypt hook opens the root volume and no other", {
          meaning: "Nothing was changed.",
          remedy: "Give the other volumes a key file on the encrypted root, in /etc/crypttab.",
        });
      }
      return mkinitcpioFiles(volumes);
  }
}
