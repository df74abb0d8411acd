// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import type { Secret } from "../../core/secret.ts";
import { type Authority, findOpenedAmong, slotsToTry } from "../../luks/cryptsetup/keyslots.ts";
import type { Slot } from "../../luks/header/slots.ts";
import type { System } from "../../system/port.ts";
import type { PlannedVolume } from "../plan/reboot-plan.ts";

/** Keys that were given, or found on the way. Disposing it wipes them. */
export class KeyRing implements Disposable {
  /** By a person: in a file, or typed. What opened something comes first. */
  readonly given: Secret[];
  readonly remembered: Secret | null;
  /** By bindings; each is its volume's alone. */
  readonly recovered: Secret[] = [];

  constructor(given: readonly Secret[] = [], remembered: Secret | null = null) {
    this.given = [...given];
    this.remembered = remembered;
  }

  [Symbol.dispose](): void {
    for (const key of [...this.given, ...this.recovered]) key.wipe();
    this.remembered?.wipe();
  }
}

/** Where keys come from that are not given. */
export interface KeySources {
  /** What the volume's own bindings give, before anybody is asked; null where they give nothing. */
  readonly recover: (volume: PlannedVolume) => Promise<Authority | null>;
  /** Null where nobody can be asked. */
  readonly ask: ((volume: PlannedVolume) => Promise<Secret>) | null;
}

/**
 * How sure it has to be that an authority opens its slot.
 * `proved`: it was seen to.
 * `likely`: what a person gave is taken to open the one slow slot that it can, and the caller finds
 * out when it uses it. So a passphrase's KDF is paid for once and not twice.
 */
export type Certainty = "proved" | "likely";

/**
 * For each volume that needs a disposable key, a passphrase that opens it, and the slot. What is
 * given is tried on all; somebody is asked only for a volume that nothing else opens, and what is
 * typed is tried on the rest as well: volumes that share a passphrase ask once.
 * @param keys what is typed or recovered is added
 * @throws NightlatchError reboot/wrong-key, and what the sources throw
 */
export async function findAuthorities(
  system: Pick<System, "run">,
  volumes: readonly PlannedVolume[],
  keys: KeyRing,
  sources: KeySources,
  certainty: Certainty,
): Promise<Map<string, Authority>> {
  const found = new Map<string, Authority>();
  for (const volume of volumes) {
    const { device } = volume.found;
    if (volume.opening.kind !== "disposable" || found.has(device)) continue;
    const authority =
      (await tryFast(system, volume, [keys.remembered, ...keys.given].filter(isKey))) ??
      (await trySlow(system, volume, keys.given, certainty)) ??
      (await recover(volume, keys, sources)) ??
      // Its slot was made fast. If somebody has made it slow, it opens the volume all the same.
      (await trySlow(system, volume, [keys.remembered].filter(isKey), "proved")) ??
      (await askFor(system, volume, keys, sources, certainty));
    found.set(device, authority);
  }
  return found;
}

const isKey = (key: Secret | null): key is Secret => key !== null;

function tryFast(system: Pick<System, "run">, volume: PlannedVolume, keys: readonly Secret[]) {
  const { header } = volume.found;
  return tryOn(system, volume, header === null ? [] : slotsToTry(header).fast, keys);
}

async function trySlow(
  system: Pick<System, "run">,
  volume: PlannedVolume,
  keys: readonly Secret[],
  certainty: Certainty,
): Promise<Authority | null> {
  const { header } = volume.found;
  const slots = header === null ? [] : slotsToTry(header).slow;
  const [[only, ...others], [passphrase, ...rest]] = [slots, keys];
  const isOne = only !== undefined && others.length === 0 && passphrase !== undefined && rest.length === 0;
  if (certainty === "likely" && isOne) return { passphrase, slot: only.number };
  return tryOn(system, volume, slots, keys);
}

async function tryOn(
  system: Pick<System, "run">,
  { found }: PlannedVolume,
  slots: readonly Slot[],
  keys: readonly Secret[],
): Promise<Authority | null> {
  for (const passphrase of keys) {
    const slot = await findOpenedAmong(system, { device: found.device }, slots, passphrase);
    if (slot !== null) return { passphrase, slot };
  }
  return null;
}

async function recover(volume: PlannedVolume, keys: KeyRing, sources: KeySources): Promise<Authority | null> {
  const authority = await sources.recover(volume);
  if (authority !== null) keys.recovered.push(authority.passphrase);
  return authority;
}

const TRIES = 3;

async function askFor(
  system: Pick<System, "run">,
  volume: PlannedVolume,
  keys: KeyRing,
  { ask }: KeySources,
  certainty: Certainty,
): Promise<Authority> {
  for (let attempt = 0; ask !== null && attempt < TRIES; attempt++) {
    const passphrase = await ask(volume);
    keys.given.push(passphrase);
    const authority =
      (await tryFast(system, volume, [passphrase])) ?? (await trySlow(system, volume, [passphrase], certainty));
    if (authority === null) continue;
    keys.given.unshift(...keys.given.splice(-1));
    return authority;
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
