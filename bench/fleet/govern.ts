/** Machines of the bench under each policy, for a release under it beside `always`. */
import type { KeyObject } from "node:crypto";
import { askServer } from "../../src/cli/operator-client.ts";
import type { JsonObject } from "../../src/formats/json/json.ts";
import { identityThumbprint } from "../../src/formats/own/enrolment.ts";
import { parseInvite } from "../../src/formats/own/invite.ts";
import { beginSession, endSession, sendHeartbeat } from "../../src/pins/latch/session.ts";
import { nodeSystem } from "../../src/system/node.ts";
import type { Served } from "../../test/support/serve.ts";

/** What holds for a machine: a policy in the words of the command. */
export const POLICIES = ["always", "always, limited", "alive", "lease"] as const;

export type BenchPolicy = (typeof POLICIES)[number];

/** Which policy the machine of this number has: they take turns. */
export function policyOf(machine: number): BenchPolicy {
  return POLICIES[machine % POLICIES.length] ?? "always";
}

/**
 * Has a policy hold for a machine, and all that it takes to be released under it, again and again.
 * @param invite the line that it was enrolled with
 */
export async function govern(
  served: Served,
  { name, identity, invite }: { readonly name: string; readonly identity: KeyObject; readonly invite: string },
  policy: BenchPolicy,
): Promise<void> {
  const ask = (verb: string, body: JsonObject) =>
    askServer(nodeSystem, served.admin, "POST", ["machines", name, verb], body);
  if (policy === "always, limited") {
    await ask("policy", { policy: "always", from: "127.0.0.0/8", perDay: "100", hours: "00:00-23:59" });
  } else if (policy === "alive") {
    await beHeard(served, identity, parseInvite(invite).thumbprint);
    await ask("policy", { policy, timeoutMs: HOUR_MS });
  } else if (policy === "lease") {
    await ask("policy", { policy });
    await ask("lease", { lifetimeMs: HOUR_MS, graceMs: 600_000 });
  }
}

const HOUR_MS = 3_600_000;

/** One heartbeat: nobody is put under `alive` who was never heard. */
async function beHeard({ url }: Served, identity: KeyObject, thumbprint: string): Promise<void> {
  const key = identity.export({ format: "der", type: "pkcs8" });
  const system = { ...nodeSystem, readFileIfPresent: async () => Buffer.from(key) };
  const server = { url, thumbprint, machine: identityThumbprint(identity), name: "bench" };
  const session = await beginSession(system, "", server, { timeoutMs: 10_000 });
  const heard = await sendHeartbeat(system, server, session, { timeoutMs: 10_000 });
  endSession(session);
  if (heard === null) throw new Error("a heartbeat was not heard");
}
