// @ts-nocheck
import { tryBinding } from "../../bindings/attempt.ts";
import { listBindings } from "../../bindings/binding.ts";
import { whyNotBound } from "../../luks/bound/bound.ts";
import { rememberedKey } from "../../luks/remembered-key.ts";
import type { System } from "../../system/port.ts";
import type { Conversation } from "../conversation.ts";
import { KeyRing, type KeySources } from "../stage/authority.ts";

/**
 * The key that was remembered, and the one that was given; the caller disposes them.
 * @throws NightlatchError reboot/blocked where others than root can read the first, file/*
 */
export async function knownKeys(
  system: Pick<System, "stat" | "readFile">,
  stateFolder: string,
  { givenKey }: Pick<Conversation, "givenKey">,
): Promise<KeyRing> {
  const remembered = await rememberedKey(system, stateFolder);
  const given = await givenKey();
  return new KeyRing(given === null ? [] : [given], remembered);
}

/** Where keys come from that are not known yet: the volumes' bindings, and then a person. */
export function keySources(
  system: System,
  stateFolder: string,
  conversation: Pick<Conversation, "askSecret" | "hint" | "signal">,
): KeySources {
  return { recover: recoverBy(system, stateFolder, conversation.signal), ask: askOn(conversation) };
}

/**
 * The first binding of a volume that gives a key which opens it: a server or a chip that would open
 * it at boot may do so now.
 */
function recoverBy(system: System, stateFolder: string, signal: AbortSignal): KeySources["recover"] {
  return async ({ found, name }) => {
    if (found.header === null) return null;
    const options = { stateFolder, name, trust: "first-use" } as const;
    if ((await whyNotBound(system, found.device, found.header, options)) !== null) return null;
    for (const binding of listBindings(found.header)) {
      const attempt = await tryBinding(system, found.device, binding, signal);
      if (attempt.secret !== null) return { passphrase: attempt.secret, slot: attempt.keyslot };
    }
    return null;
  };
}

/**
 * Asks for a volume's passphrase. Asked once more for the same volume, it says that what was typed
 * opened nothing.
 */
function askOn({ askSecret, hint }: Pick<Conversation, "askSecret" | "hint">): KeySources["ask"] {
  if (askSecret === null) return null;
  const asked = new Set<string>();
  return ({ name, found }) => {
    if (asked.has(found.device)) hint("No keyslot opens with this passphrase. Try again.");
    asked.add(found.device);
    return askSecret(`Passphrase of ${name} (${found.device}): `);
  };
}
