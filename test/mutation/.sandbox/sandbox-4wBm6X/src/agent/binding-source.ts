// @ts-nocheck
import { readClevis } from "../bindings/recovery.ts";
import { NightlatchError } from "../core/errors.ts";
import type { FlattenedJwe } from "../formats/jose/jwe.ts";
import { type HeldToken, listTokens } from "../luks/header/bindings.ts";
import type { VolumeHeader } from "../luks/header/header.ts";
import { countServers, describePin, SERVER_COUNT } from "../pins/nested.ts";
import type { PinPower } from "../pins/pin.ts";
import { recoverSecret } from "../pins/recover.ts";
import { isWorthRetrying } from "../pins/retry.ts";
import type { KeySource } from "./source.ts";

/** A server that accepts and is silent must not use up the time of its own next attempt. */
const ATTEMPT_MS = 10_000;

/**
 * Makes a source of every binding of a volume. A token without a keyslot opens nothing: an
 * interrupted change leaves such. All bindings of a volume together ask as many servers as one
 * alone may, for whoever writes a header must not keep other volumes waiting.
 * @param log told of bindings that are passed over
 */
export function bindingSources(system: PinPower, header: VolumeHeader, log: (text: string) => void): KeySource[] {
  const tokens = listTokens(header).filter(({ type, keyslots }) => type === "clevis" && keyslots.length > 0);
  const asked = withinLimit(tokens);
  if (asked.length < tokens.length) {
    log(
      `${tokens.length - asked.length} of ${tokens.length} bindings are passed over: they ask more than ${SERVER_COUNT} servers`,
    );
  }
  return asked.map((token) => {
    let name: string | undefined;
    return {
      get name() {
        name ??= `token ${token.id} (${describe(token)})`;
        return name;
      },
      attempt: async ({ timeoutMs, signal }) =>
        recoverSecret(system, readClevis(token), { timeoutMs: Math.min(ATTEMPT_MS, timeoutMs), signal }),
      isWorthRetrying,
    };
  });
}

/**
 * Keeps those tokens, in their order, whose servers fit into the limit. One alone keeps to it by
 * itself, and most volumes have but one.
 */
function withinLimit(tokens: readonly HeldToken[]): readonly HeldToken[] {
  if (tokens.length < 2) return tokens;
  let left = SERVER_COUNT;
  return tokens.filter((token) => {
    const jwe = jweOf(token);
    const servers = jwe === null ? 1 : countServers(jwe, left);
    if (servers > left) return false;
    left -= servers;
    return true;
  });
}

function describe(token: HeldToken): string {
  const jwe = jweOf(token);
  return jwe === null ? "damaged" : describePin(jwe);
}

/** Reads a token; null where it is damaged, which the attempt tells. */
function jweOf(token: HeldToken): FlattenedJwe | null {
  try {
    return readClevis(token);
  } catch (error) {
    if (error instanceof NightlatchError) return null;
    throw error;
  }
}
