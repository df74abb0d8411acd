import { NightlatchError } from "../core/errors.ts";
import type { Secret } from "../core/secret.ts";
import { type Authority, findSlotOpenedBy } from "../luks/keyslots.ts";
import type { System } from "../system/port.ts";
import type { PlannedVolume } from "./planned.ts";

/**
 * For each volume that needs a disposable key, a passphrase that was seen to open it, and the slot. What is given is tried on all;
 * `ask` is called only for a volume that none of it opens, and what it answers is tried on the rest as well: volumes that share a
 * passphrase ask once. A disposable key's own slots are no authority.
 * @param known what is given; what is typed is added, for the caller to wipe
 * @param recover what the volume's own bindings give, before anybody is asked; null where they give nothing
 * @param ask null where nobody can be asked
 * @throws NightlatchError reboot/wrong-key, and what `ask` throws
 */
export async function findAuthorities(
  power: Pick<System, "run">,
  volumes: readonly PlannedVolume[],
  known: Secret[],
  recover: (volume: PlannedVolume) => Promise<Authority | null>,
  ask: ((volume: PlannedVolume) => Promise<Secret>) | null,
): Promise<Map<string, Authority>> {
  const found = new Map<string, Authority>();
  for (const volume of volumes) {
    const { device } = volume.found;
    if (volume.opening.kind !== "disposable" || found.has(device)) continue;
    const authority =
      (await tryAll(power, volume, known)) ?? (await recover(volume)) ?? (await askFor(power, volume, known, ask));
    if (!known.includes(authority.passphrase)) known.push(authority.passphrase);
    found.set(device, authority);
  }
  return found;
}

async function tryAll(
  power: Pick<System, "run">,
  volume: PlannedVolume,
  keys: readonly Secret[],
): Promise<Authority | null> {
  const { device, header } = volume.found;
  if (header === null) return null;
  for (const passphrase of keys) {
    const slot = await findSlotOpenedBy(power, { device }, header, passphrase);
    if (slot !== null) return { passphrase, slot };
  }
  return null;
}

const TRIES = 3;

async function askFor(
  power: Pick<System, "run">,
  volume: PlannedVolume,
  known: Secret[],
  ask: ((volume: PlannedVolume) => Promise<Secret>) | null,
): Promise<Authority> {
  for (let attempt = 0; ask !== null && attempt < TRIES; attempt++) {
    const passphrase = await ask(volume);
    known.push(passphrase);
    const authority = await tryAll(power, volume, [passphrase]);
    if (authority !== null) return authority;
  }
  throw new NightlatchError(
    "reboot/wrong-key",
    `${volume.name} (${volume.found.device}) is opened by none of the keys that were given`,
    {
      meaning: "Nothing was changed.",
      remedy: `Try the passphrase alone: cryptsetup open --test-passphrase ${volume.found.device}`,
    },
  );
}
