// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import { shellWord } from "../../../core/text.ts";
import type { HeldToken } from "../../../luks/header/bindings.ts";
import { type Luks2Volume, readVolumeHeader } from "../../../luks/header/header.ts";
import { listRecovery } from "../../../luks/header/typed.ts";
import type { System } from "../../../system/port.ts";

/**
 * Reads the header of a volume that can have recovery keys.
 * @throws NightlatchError luks/unsupported for LUKS1; as readVolumeHeader
 */
export async function readLuks2(system: Pick<System, "readAt">, device: string): Promise<Luks2Volume> {
  const header = await readVolumeHeader(system, device);
  if (header.version === 2) return header;
  throw new NightlatchError(
    "luks/unsupported",
    `${device} is LUKS1, which cannot say that a keyslot is a recovery key's`,
    {
      meaning: "Nothing was changed.",
      remedy: `Add a passphrase for the same purpose: cryptsetup luksAddKey ${shellWord(device)}`,
    },
  );
}

/**
 * Lists the recovery keys of a volume, at least one.
 * @throws NightlatchError luks/no-recovery
 */
export function requireRecovery(header: Luks2Volume, device: string): readonly HeldToken[] {
  const tokens = listRecovery(header);
  if (tokens.length > 0) return tokens;
  throw new NightlatchError("luks/no-recovery", `${device} has no recovery key`, {
    meaning: "Nothing was changed.",
    remedy: `Add one: nightlatch recovery add ${shellWord(device)}`,
  });
}
