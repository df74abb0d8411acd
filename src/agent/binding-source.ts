import { readClevis } from "../bindings/recovery.ts";
import { NightlatchError } from "../core/errors.ts";
import { type ClevisPin, parseClevisPin } from "../formats/clevis/clevis.ts";
import type { FlattenedJwe } from "../formats/jose/jwe.ts";
import { type HeldToken, listTokens } from "../luks/header/bindings.ts";
import type { VolumeHeader } from "../luks/header/header.ts";
import { isWorthRetrying, recoverSecret } from "../pins/recover.ts";
import type { System } from "../system/port.ts";
import type { KeySource } from "./source.ts";

/** A server that accepts and is silent shall not use up the time of its own next attempt. */
const ATTEMPT_MS = 10_000;
/** Of all bindings of a volume together, as many as one alone may ask: whoever writes a header must not keep other volumes waiting. */
const SERVER_COUNT = 64;

/**
 * A source for every binding of a volume. A token without a keyslot is what an interrupted change leaves: it opens nothing.
 * @param log told of bindings that are passed over
 */
export function bindingSources(
  power: Pick<System, "request" | "random">,
  header: VolumeHeader,
  log: (text: string) => void,
): KeySource[] {
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
        name ??= `token ${token.id} (${describe(() => readClevis(token), 0)})`;
        return name;
      },
      attempt: async ({ deadlineMs, signal }) =>
        recoverSecret(power, readClevis(token), { deadlineMs: Math.min(ATTEMPT_MS, deadlineMs), signal }),
      isWorthRetrying,
    };
  });
}

/** Those, in their order, whose servers fit into the limit. One alone keeps to it by itself, and most volumes have but one. */
function withinLimit(tokens: readonly HeldToken[]): readonly HeldToken[] {
  if (tokens.length < 2) return tokens;
  let left = SERVER_COUNT;
  return tokens.filter((token) => {
    const servers = countServers(() => readClevis(token), left, 0);
    if (servers > left) return false;
    left -= servers;
    return true;
  });
}

/** Deeper than anybody's own; recovering refuses it too. */
const DEPTH = 4;

/** At least 1, for the work that it makes; it counts no further than one beyond `limit`. */
function countServers(read: () => FlattenedJwe, limit: number, depth: number): number {
  const pin = pinOf(read);
  if (pin?.pin !== "sss" || depth >= DEPTH) return 1;
  let count = 0;
  for (const child of pin.children) {
    count += countServers(() => child, limit - count, depth + 1);
    if (count > limit) break;
  }
  return Math.max(1, count);
}

/** null where it is damaged, which the attempt tells. */
function pinOf(read: () => FlattenedJwe): ClevisPin | null {
  try {
    return parseClevisPin(read());
  } catch (error) {
    if (error instanceof NightlatchError) return null;
    throw error;
  }
}

/** A line of the log names no more than these, of servers' names no more than this. */
const NAMED_COUNT = 4;
const NAME_LENGTH = 80;

/** What is asked for the key, e.g. `tang at keys.example.org`; what is asked together in brackets. */
function describe(read: () => FlattenedJwe, depth: number): string {
  const pin = pinOf(read);
  switch (pin?.pin) {
    case undefined:
      return "damaged";
    case "tang":
      return `tang at ${shorten(new URL(pin.url).host)}`;
    case "sss":
      return `${pin.threshold} of ${depth === 0 ? describeShares(pin.children) : pin.children.length}`;
    case "other":
      return pin.name;
  }
}

function describeShares(children: readonly FlattenedJwe[]): string {
  const named = children.slice(0, NAMED_COUNT).map((child) => describe(() => child, 1));
  const more = children.length - named.length;
  return `[${named.join(", ")}${more > 0 ? `, and ${more} more` : ""}]`;
}

function shorten(text: string): string {
  return text.length <= NAME_LENGTH ? text : `${text.slice(0, NAME_LENGTH)}…`;
}
