import { NightlatchError } from "../core/errors.ts";
import { type ClevisPin, parseClevisPin, parseClevisToken } from "../formats/clevis.ts";
import type { FlattenedJwe } from "../formats/jwe.ts";
import { type HeldToken, listTokens } from "../luks/bindings.ts";
import type { VolumeHeader } from "../luks/header.ts";
import { isWorthRetrying, recoverSecret } from "../pins/recover.ts";
import type { System } from "../system/port.ts";
import type { KeySource } from "./source.ts";

/** A server that accepts and is silent shall not use up the time of its own next attempt. */
const ATTEMPT_MS = 10_000;

/** A source for every binding of a volume. A token without a keyslot is what an interrupted change leaves: it opens nothing. */
export function bindingSources(power: Pick<System, "request" | "random">, header: VolumeHeader): KeySource[] {
  return listTokens(header)
    .filter(({ type, keyslots }) => type === "clevis" && keyslots.length > 0)
    .map((token) => ({
      get name() {
        return `token ${token.id} (${describe(() => jweOf(token))})`;
      },
      attempt: async ({ deadlineMs, signal }) =>
        recoverSecret(power, jweOf(token), { deadlineMs: Math.min(ATTEMPT_MS, deadlineMs), signal }),
      isWorthRetrying,
    }));
}

/** @throws NightlatchError clevis/malformed, jwe/* */
function jweOf(token: HeldToken): FlattenedJwe {
  const clevis = parseClevisToken(token.json);
  if (clevis === null) throw new NightlatchError("clevis/malformed", `token ${token.id} is no clevis token`);
  return clevis.jwe;
}

/** What is asked for the key, e.g. `tang at keys.example.org`; what is asked together in brackets. */
function describePin(pin: ClevisPin): string {
  switch (pin.pin) {
    case "tang":
      return `tang at ${new URL(pin.url).host}`;
    case "sss":
      return `${pin.threshold} of [${pin.children.map((child) => describe(() => child)).join(", ")}]`;
    case "other":
      return pin.name;
  }
}

function describe(read: () => FlattenedJwe): string {
  try {
    return describePin(parseClevisPin(read()));
  } catch (error) {
    if (error instanceof NightlatchError) return "damaged";
    throw error;
  }
}
