import { NightlatchError } from "../core/errors.ts";
import { type ClevisPin, parseClevisPin, parseClevisToken } from "../formats/clevis.ts";
import { type FlattenedJwe, parseCompactJwe } from "../formats/jwe.ts";
import { CLEVIS_UUID } from "../formats/luksmeta.ts";
import type { VolumeHeader } from "../luks/header.ts";
import { isWorthRetrying, recoverSecret } from "../pins/recover.ts";
import type { System } from "../system/port.ts";
import type { KeySource } from "./source.ts";

/** A server that accepts and is silent shall not use up the time of its own next attempt. */
const ATTEMPT_MS = 10_000;

/** A source for every binding of a volume: clevis tokens of LUKS2, luksmeta's records of LUKS1. Other tokens are none of ours. */
export function bindingSources(power: Pick<System, "request" | "random">, header: VolumeHeader): KeySource[] {
  return listBindings(header).map(({ label, read }) => ({
    get name() {
      return `${label} (${describe(read)})`;
    },
    attempt: async ({ deadlineMs, signal }) =>
      recoverSecret(power, read(), { deadlineMs: Math.min(ATTEMPT_MS, deadlineMs), signal }),
    isWorthRetrying,
  }));
}

/** A binding that is there, readable or not. */
export interface Binding {
  /** Where it is kept, e.g. `token 0`. */
  readonly label: string;
  readonly keyslots: readonly number[];
  /** @throws NightlatchError clevis/malformed, jwe/* */
  read(): FlattenedJwe;
}

export function listBindings(header: VolumeHeader): Binding[] {
  if (header.version === 1) {
    return (header.meta ?? [])
      .filter(({ uuid }) => uuid === CLEVIS_UUID)
      .map(({ keyslot, data }) => ({
        label: `luksmeta slot ${keyslot}`,
        keyslots: [keyslot],
        read: () => {
          if (data === null) throw new NightlatchError("clevis/malformed", "the binding in luksmeta is damaged");
          return parseCompactJwe(data.toString("latin1"), "the binding");
        },
      }));
  }
  const bindings: Binding[] = [];
  for (const [id, token] of header.tokens) {
    const { type, keyslots } = token;
    // Without a keyslot it is what an interrupted change leaves behind: its secret opens nothing.
    if (type !== "clevis" || !Array.isArray(keyslots) || keyslots.length === 0) continue;
    bindings.push({
      label: `token ${id}`,
      keyslots: keyslots.map(Number),
      read: () => {
        const clevis = parseClevisToken(token);
        if (clevis === null) throw new TypeError("the type was clevis a moment ago");
        return clevis.jwe;
      },
    });
  }
  return bindings;
}

function describe(read: () => FlattenedJwe): string {
  try {
    return describePin(parseClevisPin(read()));
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    return "damaged";
  }
}

/** What is asked for the key, e.g. `tang at keys.example.org`; what is asked together in brackets. */
export function describePin(pin: ClevisPin): string {
  switch (pin.pin) {
    case "tang":
      return `tang at ${new URL(pin.url).host}`;
    case "sss":
      return `${pin.threshold} of [${pin.children.map((child) => describe(() => child)).join(", ")}]`;
    case "other":
      return pin.name;
  }
}
