// @ts-nocheck
import { NightlatchError } from "../core/errors.ts";
import { isSameAddress, serverOf } from "../formats/network/server-address.ts";
import { INTENT_TYPE } from "../formats/own/intent.ts";
import { type HeldToken, listTokens } from "../luks/header/bindings.ts";
import type { VolumeHeader } from "../luks/header/header.ts";
import { earlyOf, type MeasuredShare, measuredOf, needsPerson, urlsOf } from "../pins/nested.ts";
import type { EarlyNeeds, Pin } from "../pins/pin.ts";
import { PINS, readPin } from "../pins/pins.ts";
import { readClevis } from "./recovery.ts";

/** A clevis token, as a person and a program see it. */
export interface Binding {
  readonly token: HeldToken;
  /** `latch`, `tang`, `sss`, `tpm2`, …; `damaged` where the token cannot be read. */
  readonly kind: string;
  /** Addresses of the servers that it asks, in the token's order. */
  readonly urls: readonly string[];
  /** What of the machine's start it, or a share of it, is sealed to; empty if that is nothing. */
  readonly measured: readonly MeasuredShare[];
  /**
   * What it asks that is no server: the URI of a card's key, the registers of a TPM. Null where
   * there is none.
   */
  readonly target: string | null;
  /** Whether it opens only with a person who types a PIN, as far as its header tells. */
  readonly needsPerson: boolean;
  /** What stock clevis needs to open it in an initramfs. */
  readonly early: EarlyNeeds;
  /** Why it is damaged; null where it is not. */
  readonly fault: string | null;
}

/** Lists the clevis tokens of a volume, damaged ones and those of foreign pins included. */
export function listBindings(header: VolumeHeader): readonly Binding[] {
  return listTokens(header)
    .filter((token) => token.type === "clevis")
    .map((token) => describeToken(token));
}

/** Lists the tokens of other programs. */
export function listOthers(header: VolumeHeader): readonly HeldToken[] {
  return listTokens(header).filter((token) => token.type !== "clevis" && token.type !== INTENT_TYPE);
}

/** Reads a clevis token. One that cannot be read is of the kind `damaged`. */
export function describeToken(token: HeldToken, pins: readonly Pin[] = PINS): Binding {
  try {
    const pin = readPin(readClevis(token), pins);
    const { kind, target = null } = pin;
    const measured = measuredOf(pin, pins);
    return {
      token,
      kind,
      urls: urlsOf(pin, pins),
      target,
      needsPerson: needsPerson(pin, pins),
      early: earlyOf(pin, pins),
      measured,
      fault: null,
    };
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    const early = { pins: ["damaged"], network: false };
    const nothing = { urls: [], target: null, needsPerson: false, measured: [] };
    return { token, kind: "damaged", ...nothing, early, fault: error.message };
  }
}

/**
 * Tells whether a binding asks this server, or this very latch of it, however the address is spelt.
 */
export function asksServer({ urls }: Pick<Binding, "urls">, address: string): boolean {
  return urls.some((url) => isSameAddress(url, address) || isSameAddress(serverOf(url) ?? url, address));
}

/** One line: `latch http://keys:7654/latch/…, keyslot 1`. */
export function formatBinding({ token, kind, urls, target }: Binding): string {
  const where = token.keyslots.length === 0 ? "no keyslot" : `keyslot ${token.keyslots.join(", ")}`;
  const asked = [...urls, ...(target === null ? [] : [target])];
  return `${[kind, ...asked].join(" ")}, ${where}`;
}

/** The members of a binding in the JSON output: docs/json.md. */
export function bindingJson({
  token,
  kind,
  urls,
  target,
  needsPerson,
  measured,
  fault,
}: Binding): Record<string, unknown> {
  const registers = measured.map(({ registers: { bank, numbers } }) => ({ bank: bank.name, numbers }));
  return {
    token: token.id,
    keyslots: token.keyslots,
    kind,
    urls,
    ...(target === null ? {} : { target }),
    ...(registers.length === 0 ? {} : { registers }),
    ...(needsPerson ? { needsPerson } : {}),
    ...(fault === null ? {} : { fault }),
  };
}
