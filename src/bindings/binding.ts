import { NightlatchError } from "../core/errors.ts";
import { type ClevisPin, parseClevisPin } from "../formats/clevis/clevis.ts";
import { isLatch, isSameAddress, serverOf } from "../formats/network/server-address.ts";
import { INTENT_TYPE } from "../formats/own/intent.ts";
import { type HeldToken, listTokens } from "../luks/header/bindings.ts";
import type { VolumeHeader } from "../luks/header/header.ts";
import { readClevis } from "./recovery.ts";

/** A clevis token, as a person and a program see it. */
export interface Binding {
  readonly token: HeldToken;
  /** `latch`, `tang`, `sss`, `tpm2`, …; `damaged` where the token cannot be read. */
  readonly kind: string;
  /** Addresses of the servers that it asks, in the token's order. */
  readonly urls: readonly string[];
  /** Why it is damaged. */
  readonly fault: string | null;
}

export function listBindings(header: VolumeHeader): readonly Binding[] {
  return listTokens(header)
    .filter((token) => token.type === "clevis")
    .map(describeToken);
}

/** Tokens of other programs. */
export function listOthers(header: VolumeHeader): readonly HeldToken[] {
  return listTokens(header).filter((token) => token.type !== "clevis" && token.type !== INTENT_TYPE);
}

/** What a clevis token is about. */
export function describeToken(token: HeldToken): Binding {
  try {
    const pin = parseClevisPin(readClevis(token));
    return { token, kind: kindOf(pin), urls: urlsOf(pin), fault: null };
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    return { token, kind: "damaged", urls: [], fault: error.message };
  }
}

function kindOf(pin: ClevisPin): string {
  if (pin.pin === "tang") return isLatch(pin.url) ? "latch" : "tang";
  return pin.pin === "sss" ? "sss" : pin.name;
}

/** Whether a binding asks this server, or this very latch of it, however the address is spelt. */
export function asksServer({ urls }: Pick<Binding, "urls">, address: string): boolean {
  return urls.some((url) => isSameAddress(url, address) || isSameAddress(serverOf(url) ?? url, address));
}

function urlsOf(pin: ClevisPin): string[] {
  switch (pin.pin) {
    case "tang":
      return [pin.url];
    case "sss":
      return pin.children.flatMap((child) => {
        try {
          return urlsOf(parseClevisPin(child));
        } catch (error) {
          if (error instanceof NightlatchError) return [];
          throw error;
        }
      });
    case "other":
      return [];
  }
}

/** One line: `latch http://keys:7654/latch/…, keyslot 1`. */
export function formatBinding({ token, kind, urls }: Binding): string {
  const where = token.keyslots.length === 0 ? "no keyslot" : `keyslot ${token.keyslots.join(", ")}`;
  return `${[kind, ...urls].join(" ")}, ${where}`;
}

export function bindingJson({ token, kind, urls, fault }: Binding): Record<string, unknown> {
  return { token: token.id, keyslots: token.keyslots, kind, urls, ...(fault === null ? {} : { fault }) };
}
