import type { CheckFacts, WitnessFacts } from "./facts.ts";
import { type Finding, findingsOf } from "./finding.ts";

/** Judges whether the witnesses that agent.toml wants have signed the logs of the servers. */
export function judgeWitness({ witness, files }: CheckFacts): Finding[] {
  if (witness === null) return [];
  // A key that is wrong in the file is so for every server.
  const config = witness.flaws.find(({ error }) => error.code === "agent/bad-config");
  if (config === undefined) return witness.flaws.map((flaw) => judgeFlaw(witness, flaw));
  const { message, meaning, remedy } = config.error;
  return [findingsOf(files.config).error("check/witness", `${message}. ${meaning}`, remedy ?? "")];
}

function judgeFlaw({ missing }: WitnessFacts, { host, error, unsigned }: WitnessFacts["flaws"][number]): Finding {
  const names = unsigned.length === 0 ? "" : `; missing: ${unsigned.join(", ")}`;
  const then = missing === "refuse" ? ". After the next release it is asked for no key any more" : "";
  const { error: asError, warning } = findingsOf(host);
  const make = missing === "refuse" ? asError : warning;
  return make("check/witness", `${error.message}${names} [${error.code}]${then}`, remedyOf(host, error, unsigned));
}

function remedyOf(host: string, error: WitnessFacts["flaws"][number]["error"], unsigned: readonly string[]): string {
  if (unsigned.length === 0) return error.remedy ?? "see: nightlatch receipt show";
  return [
    `at ${host}, to see which witnesses it asks, and why one has not signed: nightlatch witness list`,
    `at ${host}, where one is not asked: nightlatch witness ask URL KEY`,
    "nightlatch receipt show",
  ].join("\n");
}
