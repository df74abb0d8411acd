import type { JsonObject } from "../../../formats/json/json.ts";
import type { KnownWitness, KnownWitnessedLog } from "./known.ts";

/** What the tables of witnesses must be if the log is the truth. */
export class WitnessReplay {
  readonly witnesses = new Map<string, KnownWitness>();
  readonly logs = new Map<string, KnownWitnessedLog>();

  /** Takes the next entry of a kind that is about witnesses. */
  apply(entry: JsonObject): void {
    const { kind } = entry;
    const [name, origin, key] = [String(entry["witness"]), String(entry["origin"]), String(entry["key"])];
    if (kind === "witness-add") this.witnesses.set(name, { id: name, key, url: String(entry["url"]) });
    else if (kind === "witness-remove") this.witnesses.delete(name);
    else if (kind === "witnessed-add") this.logs.set(origin, { id: origin, key, signed: "whole" });
    else if (kind === "witnessed-remove") this.logs.delete(origin);
  }
}
