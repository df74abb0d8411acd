import type { Json, JsonObject } from "../../../formats/json/json.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { formatTable } from "../../table.ts";
import { durationText, timeText } from "../../time-text.ts";

export const command = defineCommand({
  name: "machine list",
  summary: "the machines that the server knows, their last releases, and open invites",
  options: { admin: ADMIN_OPTION },
  async run({ options, system, terminal }) {
    const answer = await askServer(system, options.admin, "GET", ["machines"]);
    const machines = answer["machines"] as JsonObject[];
    const invites = answer["invites"] as JsonObject[];
    if (machines.length === 0) terminal.line("No machine is enrolled. Make an invite: nightlatch machine invite NAME");
    else {
      const rows = machines.map((machine) => {
        const [at, from] = releaseCells(machine["lastRelease"]);
        const [name, id] = [machine["name"], machine["id"]].map(String);
        return [name ?? "", stateCell(machine), policyCell(machine), heardCell(machine), at, from, id ?? ""];
      });
      terminal.line(formatTable(["NAME", "STATE", "POLICY", "LAST HEARD", "LAST RELEASE", "TO", "ID"], rows));
    }
    for (const invite of invites) for (const line of inviteLines(invite, Date.now())) terminal.line(line);
    if (Number(answer["unread"]) > 0) terminal.hint(unreadHint(answer["unread"]));
    terminal.result({ ok: true, machines, invites, unread: answer["unread"] ?? 0 });
    return 0;
  },
});

/** The state of a machine, and whether it is gone with its site. */
export function stateCell({ state, gone }: JsonObject): string {
  return gone === true ? "gone with its site" : String(state);
}

/** When a machine was last heard. */
export function heardCell({ lastHeard }: JsonObject): string {
  return lastHeard == null ? "never" : timeText(lastHeard);
}

/** The policy of a machine with its terms, and until when a lease of it is open, and to whom. */
export function policyCell({ policy, approval, timeoutMs, limits, lease }: JsonObject): string {
  const { until, to } = (lease ?? {}) as JsonObject;
  const of = approval == null ? "" : ` of ${String((approval as JsonObject)["of"])}`;
  const timeout = typeof timeoutMs === "number" ? ` ${durationText(timeoutMs)}` : "";
  const open = until === undefined ? "" : `, open until ${timeText(until)}`;
  const bounds = limits == null ? "" : ` ${String(limits)}`;
  return `${String(policy ?? "always")}${of}${timeout}${bounds}${open}${to == null ? "" : ` to ${String(to)}`}`;
}

/** The cells of a release: when it was, and where to. */
export function releaseCells(release: Json | undefined): [at: string, from: string] {
  const { at, from, often } = (release ?? {}) as JsonObject;
  if (at === undefined) return ["never", "-"];
  return [timeText(at), `${String(from ?? "many addresses")}${often === true ? ", often" : ""}`];
}

/** Says that the server has not read all of its log yet. */
export function unreadHint(unread: Json | undefined): string {
  return `The server is still reading its log: the last ${String(unread)} entries are not looked at, so a release may be missing here.`;
}

function inviteLines(invite: JsonObject, nowMs: number): string[] {
  const [name, expires] = [String(invite["name"]), timeText(invite["expires"])];
  const into = typeof invite["group"] === "string" ? ` into the group ${invite["group"]}` : "";
  const isBehind = invite["expired"] === true && Date.parse(String(invite["expires"])) > nowMs;
  const lines = [
    isBehind
      ? `The invite for ${name} is not good now: the server's clock has gone back since it was made. Make another.`
      : `The invite for ${name}${into} ${invite["expired"] === true ? "has expired, at" : "is open until"} ${expires}.`,
  ];
  const { at, from, machine } = (invite["refused"] ?? {}) as JsonObject;
  if (at === undefined) return lines;
  const who = typeof machine === "string" ? `${machine}, or a copy of it, came with it` : "It was refused";
  const where = typeof from === "string" ? ` from ${from}` : "";
  const why = typeof machine === "string" ? ", and was refused: see nightlatch audit tail." : ".";
  return [...lines, `  ${who} at ${timeText(at)}${where}${why}`];
}
