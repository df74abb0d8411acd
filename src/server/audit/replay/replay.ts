import type { JsonObject } from "../../../formats/json/json.ts";
import type { State } from "../../policy/decide.ts";
import { DEFAULT_GROUP } from "../../policy/terms.ts";
import { compare } from "./compare.ts";
import {
  dayText,
  type KnownGroup,
  type KnownInvite,
  type KnownLatch,
  type KnownMachine,
  type KnownRequest,
  type KnownRows,
  keyNames,
  leaseText,
  policyText,
  siteText,
  useText,
} from "./known.ts";
import { WitnessReplay } from "./witnesses.ts";

const CHANGES: ReadonlyMap<string, State> = new Map([
  ["lock", "locked"],
  ["unlock", "active"],
  ["revoke", "revoked"],
  ["gone", "locked"],
]);

/** The epoch of a latch's first keys. */
const EPOCH = 1;

/**
 * What the machines, latches, keys, invites and witnesses must be if the log is the truth, since
 * every change of theirs is an entry of it. An edit of the store beside the log shows as a
 * difference.
 */
export class Replay {
  readonly #machines = new Map<string, KnownMachine>();
  readonly #latches = new Map<string, KnownLatch>();
  readonly #latchesOf = new Map<string, string[]>();
  readonly #invites = new Map<string, KnownInvite>();
  readonly #requests = new Map<string, KnownRequest>();
  readonly #groups = new Map<string, KnownGroup>([
    [DEFAULT_GROUP, { id: DEFAULT_GROUP, policy: PLAIN, site: AS_EVER }],
  ]);
  /** The invite that waits to be used, by name. */
  readonly #open = new Map<string, string>();
  readonly #witnesses = new WitnessReplay();

  /** Takes the next entry. Kinds that change none of these are passed over. */
  apply(entry: JsonObject & { readonly kind: string }): void {
    const [subject, change] = entry.kind.split("-");
    const state = CHANGES.get(change ?? "");
    if (entry.kind === "enrol" || entry.kind === "latch") this.#bind(entry);
    else if (entry.kind === "invite") this.#invite(entry);
    else if (entry.kind === "invite-used") this.#use(entry);
    else if (entry.kind === "invite-void" || entry.kind === "invite-expired") this.#void(String(entry["invite"]));
    else if (entry.kind === "latch-rotate") this.#rotate(entry);
    else if (entry.kind === "latch-retire") this.#retire(entry);
    else if (entry.kind === "machine-policy") this.#setPolicy(entry);
    else if (subject === "group") this.#changeGroup(entry);
    else if (subject === "site") this.#changeSite(entry);
    else if (entry.kind === "lease") this.#lease(entry);
    else if (entry.kind === "lease-end") this.#endLease(String(entry["machine"]));
    else if (entry.kind === "release") this.#release(entry);
    else if (entry.kind === "rollback") this.#rollBack();
    else if (entry.kind === "request") this.#request(entry);
    else if (entry.kind === "request-approve" || entry.kind === "request-deny") this.#vote(entry);
    else if (entry.kind === "request-expired") this.#requests.delete(String(entry["request"]));
    else if (subject === "witness" || subject === "witnessed") this.#witnesses.apply(entry);
    else if (subject === "machine" && state !== undefined) this.#changeMachine(entry, state);
    else if (subject === "latch" && state !== undefined) this.#changeLatch(String(entry["latch"]), state);
  }

  /** What differs between the log and the store, a sentence each; at most `limit`. */
  differences(store: KnownRows, limit: number): string[] {
    const found = [
      ...compare("machine", this.#machines, store.machines, MACHINE),
      ...compare("latch", this.#latches, store.latches, ["machine", "volume", "state", "epoch", "keys", "use", "day"]),
      ...compare("group", this.#groups, store.groups, ["policy", "site"]),
      ...compare("invite", this.#invites, store.invites, ["name", "state", "expires", "machine", "group"]),
      ...compare("request", this.#requests, store.requests, ["machine", "from", "state", "approvedBy", "expires"]),
      ...compare("witness", this.#witnesses.witnesses, store.witnesses, ["key", "url"]),
      ...compare("witnessed log", this.#witnesses.logs, store.witnessedLogs, ["key", "signed"]),
    ];
    return found.slice(0, limit);
  }

  #bind(entry: JsonObject): void {
    const [machine, latch] = [String(entry["machine"]), String(entry["latch"])];
    const [name, volume, kid] = [String(entry["name"]), String(entry["volume"]), String(entry["kid"])];
    const keys = keyNames([
      { purpose: "exchange", epoch: EPOCH, kid },
      { purpose: "signing", epoch: EPOCH, kid: null },
    ]);
    if (!this.#machines.has(machine)) {
      const group = String(entry["group"] ?? "");
      const begun = { state: "active", epoch: 1, lease: leaseText(0, null) } as const;
      this.#machines.set(machine, { id: machine, name, group, ...begun, ...this.#saidIn(group) });
    }
    this.#latches.set(latch, { id: latch, machine, volume, state: "active", epoch: EPOCH, keys, use: "", day: "" });
    const siblings = this.#latchesOf.get(machine);
    if (siblings === undefined) this.#latchesOf.set(machine, [latch]);
    else siblings.push(latch);
    if (entry["invite"] !== undefined) this.#use(entry);
  }

  /** It takes the place of the one for the same name that was not used. */
  #invite(entry: JsonObject): void {
    const [id, name] = [String(entry["invite"]), String(entry["name"])];
    this.#void(this.#open.get(name) ?? "");
    const group = String(entry["group"] ?? "");
    this.#invites.set(id, { id, name, state: "open", expires: Number(entry["expires"]), machine: null, group });
    this.#open.set(name, id);
  }

  #void(id: string): void {
    const invite = this.#invites.get(id);
    if (invite === undefined) return;
    this.#invites.set(id, { ...invite, state: "void" });
    if (this.#open.get(invite.name) === id) this.#open.delete(invite.name);
  }

  #use(entry: JsonObject): void {
    const invite = this.#invites.get(String(entry["invite"]));
    if (invite === undefined) return;
    this.#invites.set(invite.id, { ...invite, state: "used", machine: String(entry["machine"]) });
    if (this.#open.get(invite.name) === invite.id) this.#open.delete(invite.name);
  }

  #changeMachine(entry: JsonObject, state: State): void {
    const machine = this.#machines.get(String(entry["machine"]));
    if (machine === undefined) return;
    this.#machines.set(machine.id, { ...machine, state, epoch: Number(entry["epoch"]) });
    if (state !== "active") this.#endAll(machine.id);
    if (state === "revoked") for (const id of this.#latchesOf.get(machine.id) ?? []) this.#changeLatch(id, state);
  }

  #setPolicy(entry: JsonObject): void {
    const machine = this.#machines.get(String(entry["machine"]));
    if (machine === undefined) return;
    const policy = policyOf(entry);
    // Before there were groups, what was released as ever was as good as never spoken of.
    const source = String(entry["source"] ?? (policy === PLAIN ? "default" : "machine"));
    this.#govern(machine, { policy, source });
  }

  /** Has a policy hold. One that is another makes a lease void, and requests. */
  #govern(machine: KnownMachine, said: Pick<KnownMachine, "policy" | "source">): void {
    this.#machines.set(machine.id, { ...machine, ...said });
    if (said.policy !== machine.policy) this.#endAll(machine.id);
  }

  #changeGroup(entry: JsonObject): void {
    const [id, kind] = [String(entry["group"]), entry["kind"]];
    if (kind === "group-add") this.#groups.set(id, { id, policy: "", site: AS_EVER });
    else if (kind === "group-remove") this.#removeGroup(id);
    else if (kind === "group-join") this.#move(String(entry["machine"]), id);
    else if (kind === "group-leave") this.#move(String(entry["machine"]), "");
    else if (kind === "group-policy") {
      const site = this.#groups.get(id)?.site ?? AS_EVER;
      this.#groups.set(id, { id, policy: entry["policy"] === undefined ? "" : policyOf(entry), site });
      for (const machine of this.#machines.values()) if (machine.group === id) this.#move(machine.id, id);
    }
  }

  #changeSite(entry: JsonObject): void {
    const group = this.#groups.get(String(entry["group"]));
    if (group === undefined) return;
    const [hold, kind] = [Number(entry["hold"]), entry["kind"]];
    const window = Number(entry["window"] ?? windowOf(group.site));
    const rate = { count: Number(entry["count"]), perMs: Number(entry["per"]) };
    const open = kind === "site-release" ? { untilMs: Number(entry["until"]), rate } : null;
    const state = open === null ? (kind === "site-end" ? "free" : "held") : "open";
    this.#groups.set(group.id, { ...group, site: siteText({ state, hold, window, open }) });
  }

  /** An older copy of the store is in use: leases are void, and windows of sites are holds. */
  #rollBack(): void {
    for (const id of this.#machines.keys()) this.#endAll(id);
    for (const group of this.#groups.values()) {
      const [, hold = ""] = /^open hold (\d+) /.exec(group.site) ?? [];
      if (hold === "") continue;
      const held = { state: "held", hold: Number(hold), window: windowOf(group.site), open: null };
      this.#groups.set(group.id, { ...group, site: siteText(held) });
    }
  }

  /** Only machines that are revoked are in it. */
  #removeGroup(id: string): void {
    this.#groups.delete(id);
    for (const machine of this.#machines.values())
      if (machine.group === id) this.#machines.set(machine.id, { ...machine, group: "" });
  }

  /** Puts a machine into a group, or finds anew what holds for it in the one that it is in. */
  #move(machineId: string, group: string): void {
    const machine = this.#machines.get(machineId);
    if (machine === undefined) return;
    const moved = { ...machine, group };
    this.#machines.set(machineId, moved);
    if (machine.source === "machine" || machine.state === "revoked") return;
    const said = this.#saidIn(group);
    if (said.source === "group" || machine.source === "group") this.#govern(moved, said);
  }

  /** What holds for a machine in this group of which nothing is said by itself. */
  #saidIn(group: string): Pick<KnownMachine, "policy" | "source"> {
    const policy = this.#groups.get(group)?.policy ?? "";
    if (policy !== "") return { policy, source: "group" };
    return { policy: this.#groups.get(DEFAULT_GROUP)?.policy ?? PLAIN, source: "default" };
  }

  #lease(entry: JsonObject): void {
    const machine = this.#machines.get(String(entry["machine"]));
    if (machine === undefined) return;
    const by = entry["by"] === undefined ? null : Number(entry["by"]);
    const to = entry["to"] === undefined ? null : String(entry["to"]);
    const lease = { untilMs: Number(entry["until"]), graceMs: Number(entry["grace"]), by, to };
    this.#machines.set(machine.id, { ...machine, lease: leaseText(Number(entry["lease"]), lease) });
    if (entry["request"] !== undefined) this.#requests.delete(String(entry["request"]));
  }

  #request(entry: JsonObject): void {
    const [id, machine, from] = [String(entry["request"]), String(entry["machine"]), String(entry["from"])];
    const expires = Number(entry["until"]);
    this.#requests.set(id, { id, machine, from, state: "waiting", approvedBy: "", expires });
  }

  #vote(entry: JsonObject): void {
    const request = this.#requests.get(String(entry["request"]));
    if (request === undefined) return;
    const by = String(entry["by"]);
    const approvedBy = request.approvedBy === "" ? by : `${request.approvedBy},${by}`;
    const change = entry["kind"] === "request-deny" ? { state: "denied" } : { approvedBy };
    this.#requests.set(request.id, { ...request, ...change });
  }

  /** Makes a machine's lease void, and its requests. */
  #endAll(machineId: string): void {
    this.#endLease(machineId);
    for (const { id, machine } of this.#requests.values()) if (machine === machineId) this.#requests.delete(id);
  }

  #endLease(id: string): void {
    const machine = this.#machines.get(id);
    if (machine === undefined) return;
    this.#machines.set(id, { ...machine, lease: leaseText(Number.parseInt(machine.lease, 10), null) });
  }

  /** Takes the first release of a latch in a lease, and one that is counted. */
  #release(entry: JsonObject): void {
    const { lease, day, at, from, since } = entry;
    const latch = this.#latches.get(String(entry["latch"]));
    if (latch === undefined || (lease === undefined && day === undefined)) return;
    const use =
      lease === undefined ? latch.use : useText({ lease: Number(lease), atMs: Number(at), from: String(from) });
    const counted = day === undefined ? latch.day : dayText({ count: Number(day), sinceMs: Number(since) });
    this.#latches.set(latch.id, { ...latch, use, day: counted });
  }

  #rotate(entry: JsonObject): void {
    const latch = this.#latches.get(String(entry["latch"]));
    if (latch === undefined) return;
    const epoch = Number(entry["epoch"]);
    const made = keyNames([
      { purpose: "exchange", epoch, kid: String(entry["kid"]) },
      { purpose: "signing", epoch, kid: null },
    ]);
    const keys = [...latch.keys.split(", "), ...made.split(", ")].sort().join(", ");
    this.#latches.set(latch.id, { ...latch, epoch, keys });
  }

  #retire(entry: JsonObject): void {
    const latch = this.#latches.get(String(entry["latch"]));
    if (latch === undefined) return;
    const isOver = (key: string) => Number(key.split(" ")[1]) === Number(entry["epoch"]);
    const keys = latch.keys.split(", ").filter((key) => !isOver(key));
    this.#latches.set(latch.id, { ...latch, keys: keys.join(", ") });
  }

  #changeLatch(id: string, state: State): void {
    const latch = this.#latches.get(id);
    if (latch !== undefined) this.#latches.set(id, { ...latch, state, keys: state === "revoked" ? "" : latch.keys });
  }
}

/** What is compared of a machine. */
const MACHINE = ["name", "state", "epoch", "policy", "source", "group", "lease"] as const;

/** What every machine began with before anything else could be said. */
const PLAIN = "always";

const AS_EVER = siteText({ state: "free", hold: 0, window: 0, open: null });

/** The number of a site's last window, in its text. */
function windowOf(site: string): number {
  return Number(/ window (\d+)/.exec(site)?.[1] ?? 0);
}

function policyOf(entry: JsonObject): string {
  const timeoutMs = entry["timeout"] === undefined ? null : Number(entry["timeout"]);
  const approval = entry["of"] === undefined ? null : { of: Number(entry["of"]), timeoutMs: timeoutMs ?? 0 };
  const limits = entry["limits"] === undefined ? null : String(entry["limits"]);
  return policyText(String(entry["policy"]), { approval, timeoutMs, limits });
}
