import { printable } from "../../../core/text.ts";
import type { JsonObject } from "../../../formats/json/json.ts";
import { durationText, timeText } from "../../time-text.ts";

const NAME_WIDTH = 12;

/**
 * An entry of the log in a line: when, which machine, what happened.
 * @param entry as the server's `audit/tail` gives it. What it holds is made fit for a terminal: the
 * store may have been tampered with.
 */
export function auditLine(entry: JsonObject): string {
  const name = text(entry["name"]) || "-";
  return `${timeText(entry["at"])}  ${name.padEnd(NAME_WIDTH)}  ${describe(entry)}`.trimEnd();
}

function describe(entry: JsonObject): string {
  const by = `by user ${text(entry["by"])}`;
  const from = text(entry["from"]);
  const volume = entry["volume"] == null ? "" : `, volume ${text(entry["volume"])}`;
  switch (entry["kind"]) {
    case "store":
      return "the store was made";
    case "rollback":
      return `an older copy of the store was taken into use: the log had ${text(entry["size"])} entries before`;
    case "invite":
      return `invited ${by}${intoOf(entry)}, until ${timeText(entry["expires"])}`;
    case "invite-void":
      return `invite taken back ${by}`;
    case "invite-expired":
      return "invite expired: nobody came with it";
    case "invite-used":
      return `came from ${from} with an invite, for a latch that it has`;
    case "enrol":
      return `enrolled from ${from}${intoOf(entry)}${volume}`;
    case "latch":
      return `got one more latch, from ${from}${volume}`;
    case "machine-policy":
      return `policy ${termsOf(entry)}, ${by}`;
    case "group-add":
      return `the group ${text(entry["group"])} was made ${by}`;
    case "group-remove":
      return `the group ${text(entry["group"])} was removed ${by}`;
    case "group-policy":
      return `policy of ${groupOf(entry)}: ${entry["policy"] === undefined ? "none of its own" : termsOf(entry)}, ${by}`;
    case "site-hold":
      return `the site ${text(entry["group"])} is held: ${holdReason(entry)}`;
    case "site-release":
      return `the site ${text(entry["group"])} is released ${by}, ${text(entry["count"])} machines in ${durationText(Number(entry["per"]))}, until ${timeText(entry["until"])}`;
    case "site-end":
      return `the site ${text(entry["group"])} is as ever`;
    case "group-join":
      return `put into the group ${text(entry["group"])} ${by}`;
    case "group-leave":
      return `taken out of the group ${text(entry["group"])} ${by}`;
    case "machine-gone":
      return `not heard${silenceOf(entry)}, last ${entry["last"] == null ? "never" : timeText(entry["last"])}: locked`;
    case "request": {
      const asked =
        entry["by"] === undefined ? `asks for approval from ${from}` : `${from} was named for approval ${by}`;
      return `${asked}${volume}, until ${timeText(entry["until"])}: request ${text(entry["request"])}`;
    }
    case "request-approve":
      return `request ${text(entry["request"])} approved ${by}`;
    case "request-deny":
      return `request ${text(entry["request"])} denied ${by}`;
    case "request-expired":
      return `request ${text(entry["request"])} expired`;
    case "latch-rotate":
      return `latch ${text(entry["latch"])} has new keys, epoch ${text(entry["epoch"])}, ${by}${volume}`;
    case "latch-retire":
      return `latch ${text(entry["latch"])}: the keys of epoch ${text(entry["epoch"])} are destroyed, ${from === "" ? by : `as the machine said from ${from}`}${volume}`;
    case "lease":
      return `${leaseOf(entry)} until ${timeText(entry["until"])}`;
    case "lease-end":
      if (entry["why"] === "booted") return "is up again, so its lease is over";
      return from === "" ? "the lease is over" : `took its lease back, from ${from}`;
    case "witness-add":
      return `${text(entry["witness"])} at ${text(entry["url"])} is asked to cosign the log, ${by}`;
    case "witness-remove":
      return `${text(entry["witness"])} is asked to cosign the log no more, ${by}`;
    case "witnessed-add":
      return `the log ${text(entry["origin"])} is cosigned here, ${by}`;
    case "witnessed-remove":
      return `the log ${text(entry["origin"])} is cosigned no more, ${by}; ${text(entry["size"])} entries were`;
    case "release":
      return `released to ${from}${volume}${entry["lease"] === undefined ? "" : ", in its lease"}`;
    case "flood":
      return `released to ${from || "many addresses"}${volume}, and however often it asks until ${timeText(entry["until"])}`;
    case "flood-end":
      return `was released to ${from || "many addresses"} ${text(entry["count"])} times${volume}, since ${timeText(entry["since"])}`;
    case "refusal":
      return `refused to ${from}${volume}: ${reasonOf(entry)}`;
    case "refusals":
      return `refused ${text(entry["count"])} times more${volume}, since ${timeText(entry["since"])}: ${reasonOf(entry)}`;
    default:
      return changeOf(entry, volume, by);
  }
}

/** For how long a machine may be silent, or was; empty where that is not said. */
function silenceOf({ timeout }: JsonObject): string {
  return timeout == null ? "" : ` for ${durationText(Number(timeout))}`;
}

function termsOf(entry: JsonObject): string {
  const { policy, of } = entry;
  return `${text(policy)}${of === undefined ? silenceOf(entry) : ` of ${text(of)}`}${limited(entry)}`;
}

function groupOf({ group }: JsonObject): string {
  return group === "default" ? "new machines" : `the group ${text(group)}`;
}

function holdReason({ by, silent, of }: JsonObject): string {
  if (by !== undefined) return `by user ${text(by)}`;
  return silent === undefined
    ? "its window was over before the server listened again"
    : `${text(silent)} of ${text(of)} machines fell silent together`;
}

function limited({ limits }: JsonObject): string {
  return limits === undefined ? "" : ` ${text(limits)}`;
}

function leaseOf(entry: JsonObject): string {
  const [from, by] = [text(entry["from"]), text(entry["by"])];
  if (entry["to"] !== undefined) return `is released to ${text(entry["to"])}, as approved,`;
  if (from === "") return `got a lease by user ${by},`;
  return by === ""
    ? `announced a lease from ${from},`
    : `announced itself from ${from}, within the lease by user ${by},`;
}

const STATES: Readonly<Record<string, string>> = { lock: "locked", unlock: "unlocked", revoke: "revoked" };

function changeOf(entry: JsonObject, volume: string, by: string): string {
  const [subject = "", change = ""] = text(entry["kind"]).split("-");
  const state = Object.hasOwn(STATES, change) ? STATES[change] : undefined;
  if (state === undefined) return `${text(entry["kind"])}: of a later version than this command`;
  return subject === "latch" ? `latch ${text(entry["latch"])} ${state} ${by}${volume}` : `${state} ${by}`;
}

const REASONS: Readonly<Record<string, string>> = {
  "machine/locked": "it is locked",
  "machine/revoked": "it was revoked",
  "policy/other-network": "it asks from another network than it may",
  "policy/other-hours": "it asks at another time of day than it may",
  "policy/day-used": "it was released as often as it may be in a day",
  "policy/crowded": "too many others wait for approval",
  "lease/needs-approval": "operators must approve, and it announced itself",
  "policy/no-lease": "it has no lease",
  "policy/lease-over": "its lease is over",
  "policy/lease-used": "it was released in this lease already",
  "policy/other-address": "it was released in this lease to another address",
  "lease/stale": "a lease was asked for with a challenge that is not good now, as a copy of a request would be",
  "lease/too-many": "it asks for too many leases",
  "lease/other-server": "a request for a lease that was made for another server",
  "policy/site-held": "its site is held",
  "policy/site-full": "its site is released at a rate, and it waits for its turn",
  "policy/other-place": "it fell silent with its site, and asks from elsewhere now",
  "policy/not-alive": "it was not heard for too long, or not since the server was started",
  "session/stale": "a session was asked for with a challenge that is not good now, as a copy of a request would be",
  "session/too-many": "it asks for too many sessions",
  "session/other-server": "a request for a session that was made for another server",
  "session/forged": "a heartbeat of its session that somebody else has made",
  "session/replayed": "a heartbeat that came before",
  "session/other-address": "a heartbeat from another address than its session",
  "machine/full": "it has as many latches as one may have",
  "latch/revoked": "its keys are destroyed",
  "witness/inconsistent": "a log that has not grown from the one that was cosigned here",
  "invite/unknown": "an invite that is not known, or a wrong proof of one",
  "invite/used": "another machine has used the invite",
  "invite/expired": "the invite has expired, or is void",
  "machine/unknown": "a machine that is not known",
};

function intoOf(entry: JsonObject): string {
  return entry["group"] == null ? "" : `, into the group ${text(entry["group"])}`;
}

function reasonOf(entry: JsonObject): string {
  const reason = text(entry["reason"]);
  const said =
    reason === "invite/other-machine"
      ? `it is known as ${text(entry["known"]) || "another machine"}, or is a copy of it`
      : (Object.hasOwn(REASONS, reason) && REASONS[reason]) || "";
  return said === "" ? `[${reason}]` : `${said} [${reason}]`;
}

function text(value: JsonObject[string] | undefined): string {
  return value === undefined || value === null ? "" : printable(String(value));
}
