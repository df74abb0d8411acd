// @ts-nocheck
import type { Json, JsonObject } from "../../../formats/json/json.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { formatTable } from "../../table.ts";
import { timeText } from "../../time-text.ts";

export const command = defineCommand({
  name: "site list",
  summary: "the sites, whether they are held, and how many machines are gone with each",
  options: { admin: ADMIN_OPTION },
  details: "Which machines are gone with a site: nightlatch group show NAME.",
  async run({ options, system, terminal }) {
    const answer = await askServer(system, options.admin, "GET", ["groups"]);
    const sites = (answer["groups"] as JsonObject[]).filter(({ name }) => name !== "default");
    if (sites.length === 0)
      terminal.line("There is no site. Make a group of the machines on one place: nightlatch group add NAME");
    else {
      const rows = sites.map(({ name, machines, gone, site }) => [
        String(name),
        stateCell(site as JsonObject),
        String(machines),
        String(gone),
      ]);
      terminal.line(formatTable(["SITE", "STATE", "MACHINES", "GONE WITH IT"], rows));
    }
    terminal.result({ ok: true, sites });
    return 0;
  },
});

function stateCell({ state, since, by, open }: JsonObject): string {
  if (state === "free") return "as ever";
  const who = by === null ? "by itself" : `by user ${String(by)}`;
  const at = timeText(since);
  if (open == null) return `held since ${at}, ${who}`;
  return `released at ${at} ${who}, ${rateText((open as JsonObject)["rate"])}, until ${timeText((open as JsonObject)["until"])}`;
}

function rateText(rate: Json | undefined): string {
  const { count, perMs } = rate as { readonly count: number; readonly perMs: number };
  return `${count}/${perMs === 1_000 ? "s" : perMs === 60_000 ? "m" : "h"}`;
}
