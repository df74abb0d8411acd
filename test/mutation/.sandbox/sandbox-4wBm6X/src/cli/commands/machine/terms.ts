// @ts-nocheck
import { parseDuration } from "../../../core/duration.ts";
import { NightlatchError } from "../../../core/errors.ts";
import type { JsonObject } from "../../../formats/json/json.ts";
import type { Options, OptionValues } from "../../command.ts";

/** The options of every command that says what must hold for machines to be released. */
export const TERMS_OPTIONS = {
  of: { value: "N", help: "of approval: so many different operators must approve (default: 1)" },
  timeout: {
    value: "TIME",
    help: "of alive: for how long it may be silent (default: 5m); of approval: how long a request waits (default: 1h)",
  },
  from: { value: "NET,...", help: "release to these networks alone; any: to all" },
  "per-day": { value: "N", help: "release each latch at most so often in 24 hours; any: however often" },
  hours: {
    value: "HH:MM-HH:MM",
    help: "release at this time of day alone, by the server's clock; any: at all times",
  },
} as const satisfies Options;

const POLICIES = ["always", "alive", "lease", "approval", "inherit"] as const;

/** A policy, or that it is taken from above. */
export type PolicyWord = (typeof POLICIES)[number];

/**
 * What must hold, as the server takes it.
 * @param policy as it was typed
 * @throws NightlatchError usage/wrong
 */
export function parseTerms(
  policy: string,
  options: OptionValues<typeof TERMS_OPTIONS>,
): { readonly word: PolicyWord; readonly body: JsonObject } {
  const word = POLICIES.find((known) => known === policy);
  if (word === undefined) {
    throw new NightlatchError("usage/wrong", `there is no policy ${JSON.stringify(policy)}`, {
      remedy: "Say always, alive, lease, approval, or inherit.",
    });
  }
  const limits = limitsOf(options);
  const [limit] = Object.keys(limits);
  if (word === "inherit" && limit !== undefined) throw saysNothing("a limit", word);
  return { word, body: { policy: word, ...termsOf(word, options), ...limits } };
}

function termsOf(
  policy: PolicyWord,
  { of, timeout }: { readonly of: string | undefined; readonly timeout: string | undefined },
): JsonObject {
  if (of !== undefined && policy !== "approval") throw saysNothing("--of", policy);
  if (timeout !== undefined && policy !== "approval" && policy !== "alive") throw saysNothing("--timeout", policy);
  const said = timeout ?? (policy === "alive" ? "5m" : undefined);
  const timeoutMs = said === undefined ? undefined : parseDuration(said, ["s", "m", "h", "d"]);
  if (timeoutMs === null || (of !== undefined && !/^\d{1,2}$/.test(of))) {
    throw new NightlatchError("usage/wrong", "--of or --timeout is not what it should be", {
      remedy: "Give a number of operators, and a time with its unit, such as --of 2 --timeout 1h.",
    });
  }
  return { ...(of === undefined ? {} : { of: Number(of) }), ...(timeoutMs === undefined ? {} : { timeoutMs }) };
}

/** What bounds releases, as the server takes it. */
function limitsOf({
  from,
  "per-day": perDay,
  hours,
}: Readonly<Record<"from" | "per-day" | "hours", string | undefined>>): JsonObject {
  return {
    ...(from === undefined ? {} : { from }),
    ...(perDay === undefined ? {} : { perDay }),
    ...(hours === undefined ? {} : { hours }),
  };
}

function saysNothing(what: string, policy: PolicyWord): NightlatchError {
  return new NightlatchError("usage/wrong", `${what} says nothing of the policy ${policy}`, {
    remedy: "Leave it off.",
  });
}
