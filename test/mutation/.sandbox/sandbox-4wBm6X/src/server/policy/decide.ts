// @ts-nocheck
function stryNS_9fa48() {
  var g = typeof globalThis === 'object' && globalThis && globalThis.Math === Math && globalThis || new Function("return this")();
  var ns = g.__stryker__ || (g.__stryker__ = {});
  if (ns.activeMutant === undefined && g.process && g.process.env && g.process.env.__STRYKER_ACTIVE_MUTANT__) {
    ns.activeMutant = g.process.env.__STRYKER_ACTIVE_MUTANT__;
  }
  function retrieveNS() {
    return ns;
  }
  stryNS_9fa48 = retrieveNS;
  return retrieveNS();
}
stryNS_9fa48();
function stryCov_9fa48() {
  var ns = stryNS_9fa48();
  var cov = ns.mutantCoverage || (ns.mutantCoverage = {
    static: {},
    perTest: {}
  });
  function cover() {
    var c = cov.static;
    if (ns.currentTestId) {
      c = cov.perTest[ns.currentTestId] = cov.perTest[ns.currentTestId] || {};
    }
    var a = arguments;
    for (var i = 0; i < a.length; i++) {
      c[a[i]] = (c[a[i]] || 0) + 1;
    }
  }
  stryCov_9fa48 = cover;
  cover.apply(null, arguments);
}
function stryMutAct_9fa48(id) {
  var ns = stryNS_9fa48();
  function isActive(id) {
    if (ns.activeMutant === id) {
      if (ns.hitCount !== void 0 && ++ns.hitCount > ns.hitLimit) {
        throw new Error('Stryker: Hit count limit reached (' + ns.hitCount + ')');
      }
      return true;
    }
    return false;
  }
  stryMutAct_9fa48 = isActive;
  return isActive(id);
}
import { type AliveRefusal, isAlive, type Pulse, released, returned } from "./alive.ts";
import { type Asking, judgeLease, type Lease, type LeaseUse, type Policy, type PolicyRefusal } from "./lease.ts";
import { countDay, type Day, judgePlace, type LimitRefusal, type ReleaseLimits } from "./limits.ts";
import { type Pace, take } from "./pace.ts";
import { type ApprovalRefusal, type AskedRequest, type Crowd, judgeRequest } from "./request.ts";
import { judgeSite, type Site, type SiteMember, type SiteRefusal } from "./site.ts";

/** The state of a machine or of a latch. `revoked` is final: the keys are destroyed. */
export type State = "active" | "locked" | "revoked";

/** What the policy knows of a machine. */
interface MachineFacts {
  readonly state: State;
  readonly policy: Policy;
  /** The window that is open for it, as far as the store knows; null where there is none. */
  readonly lease: Lease | null;
  /** What bounds its releases, whatever the policy; absent where nothing does. */
  readonly limits?: ReleaseLimits;
  /** Of the policy `approval` alone: what operators were asked for. */
  readonly queue?: Queue;
  /** Whether it is there, as far as the server knows; asked under `alive` alone. */
  readonly alive?: AliveFacts;
  /** Absent where its site is as ever, and it is too, or it is of none. */
  readonly site?: SiteFacts;
}

/** What the policy knows of a machine's site. */
interface SiteFacts extends SiteMember {
  /** Null: it is as ever. */
  readonly site: Site | null;
  /** The clock that nobody sets. */
  readonly monotonicMs: number;
}

/** The requests that operators were asked for, as whoever asks now finds them. */
export interface Queue {
  /** Of this machine and address, with the latest time in the log since; null: none. */
  readonly own: AskedRequest & {
    readonly id: string;
    readonly latestMs: number;
  } | null;
  /** The others. */
  readonly crowd: Crowd;
}

/** Whether a machine is there. */
interface AliveFacts {
  /** Null where nothing is known. */
  readonly pulse: Pulse | null;
  /** The clock that nobody sets, which the pulse is by. */
  readonly monotonicMs: number;
}

/** What the policy knows of a latch. */
interface LatchFacts {
  readonly state: State;
  /** How often the latch was released of late. */
  readonly pace: Pace;
  /** Its first release within the last lease that it was released in; null where there is none. */
  readonly use: LeaseUse | null;
  /** Its releases that were counted last, where its machine's are limited; null where none was. */
  readonly day?: Day | null;
}

/** Why nothing is released. */
export type RefusalReason = "latch/revoked" | "machine/locked" | AliveRefusal | PolicyRefusal | ApprovalRefusal | LimitRefusal | SiteRefusal;

/** What the policy decides. */
type Decision = {
  readonly release: true;
  /**
   * The latch's pace from now on; null where it is asked too often for a receipt of each
   * release.
   */
  readonly pace: Pace | null;
  /**
   * Set where this is the latch's first release within its lease. It must be durable with the
   * receipt, which is one of its own whatever the pace.
   */
  readonly use: LeaseUse | null;
  /**
   * Set where this gives a machine under `alive` the time of a boot. It must be durable with
   * the receipt, which is one of its own.
   */
  readonly pulse?: Pulse;
  /**
   * Set where the machine is let in by this window of its site. It must be durable with the
   * receipt, which is one of its own.
   */
  readonly enters?: number;
  /** Set where releases are counted. It is durable with a receipt of its own, as a use is. */
  readonly day?: Day;
} | {
  readonly release: false;
  readonly reason: RefusalReason;
  /** Operators are to be asked from now on. */
  readonly begins?: true;
};

/**
 * Decides whether a recovery request is answered, once its key and its point were found to be in
 * order. It is pure: the caller makes the decision durable. The final state is told before the
 * passing one, so that a client learns that waiting is of no use. Nobody is refused for asking
 * often: others can ask in a machine's place, and would keep it out.
 */
export function decide(machine: MachineFacts, latch: LatchFacts, asking: Asking): Decision {
  if (stryMutAct_9fa48("0")) {
    {}
  } else {
    stryCov_9fa48("0");
    if (stryMutAct_9fa48("3") ? machine.state === "revoked" && latch.state === "revoked" : stryMutAct_9fa48("2") ? false : stryMutAct_9fa48("1") ? true : (stryCov_9fa48("1", "2", "3"), (stryMutAct_9fa48("5") ? machine.state !== "revoked" : stryMutAct_9fa48("4") ? false : (stryCov_9fa48("4", "5"), machine.state === (stryMutAct_9fa48("6") ? "" : (stryCov_9fa48("6"), "revoked")))) || (stryMutAct_9fa48("8") ? latch.state !== "revoked" : stryMutAct_9fa48("7") ? false : (stryCov_9fa48("7", "8"), latch.state === (stryMutAct_9fa48("9") ? "" : (stryCov_9fa48("9"), "revoked")))))) return refuse(stryMutAct_9fa48("10") ? "" : (stryCov_9fa48("10"), "latch/revoked"));
    if (stryMutAct_9fa48("13") ? machine.state === "locked" && latch.state === "locked" : stryMutAct_9fa48("12") ? false : stryMutAct_9fa48("11") ? true : (stryCov_9fa48("11", "12", "13"), (stryMutAct_9fa48("15") ? machine.state !== "locked" : stryMutAct_9fa48("14") ? false : (stryCov_9fa48("14", "15"), machine.state === (stryMutAct_9fa48("16") ? "" : (stryCov_9fa48("16"), "locked")))) || (stryMutAct_9fa48("18") ? latch.state !== "locked" : stryMutAct_9fa48("17") ? false : (stryCov_9fa48("17", "18"), latch.state === (stryMutAct_9fa48("19") ? "" : (stryCov_9fa48("19"), "locked")))))) return refuse(stryMutAct_9fa48("20") ? "" : (stryCov_9fa48("20"), "machine/locked"));
    const {
      limits
    } = machine;
    if (stryMutAct_9fa48("23") ? limits !== undefined : stryMutAct_9fa48("22") ? false : stryMutAct_9fa48("21") ? true : (stryCov_9fa48("21", "22", "23"), limits === undefined)) return decideBySite(machine, latch, asking);
    const beyond = judgePlace(limits, asking.from, stryMutAct_9fa48("24") ? asking.minute && 0 : (stryCov_9fa48("24"), asking.minute ?? 0));
    if (stryMutAct_9fa48("27") ? beyond === null : stryMutAct_9fa48("26") ? false : stryMutAct_9fa48("25") ? true : (stryCov_9fa48("25", "26", "27"), beyond !== null)) return refuse(beyond);
    const decision = decideBySite(machine, latch, asking);
    // What is answered again was counted when it was answered first.
    const isCounted = stryMutAct_9fa48("30") ? decision.release || machine.policy === "always" || machine.policy === "alive" || decision.use !== null : stryMutAct_9fa48("29") ? false : stryMutAct_9fa48("28") ? true : (stryCov_9fa48("28", "29", "30"), decision.release && (stryMutAct_9fa48("32") ? (machine.policy === "always" || machine.policy === "alive") && decision.use !== null : stryMutAct_9fa48("31") ? true : (stryCov_9fa48("31", "32"), (stryMutAct_9fa48("34") ? machine.policy === "always" && machine.policy === "alive" : stryMutAct_9fa48("33") ? false : (stryCov_9fa48("33", "34"), (stryMutAct_9fa48("36") ? machine.policy !== "always" : stryMutAct_9fa48("35") ? false : (stryCov_9fa48("35", "36"), machine.policy === (stryMutAct_9fa48("37") ? "" : (stryCov_9fa48("37"), "always")))) || (stryMutAct_9fa48("39") ? machine.policy !== "alive" : stryMutAct_9fa48("38") ? false : (stryCov_9fa48("38", "39"), machine.policy === (stryMutAct_9fa48("40") ? "" : (stryCov_9fa48("40"), "alive")))))) || (stryMutAct_9fa48("42") ? decision.use === null : stryMutAct_9fa48("41") ? false : (stryCov_9fa48("41", "42"), decision.use !== null)))));
    if (stryMutAct_9fa48("45") ? !isCounted && limits.perDay === null : stryMutAct_9fa48("44") ? false : stryMutAct_9fa48("43") ? true : (stryCov_9fa48("43", "44", "45"), (stryMutAct_9fa48("46") ? isCounted : (stryCov_9fa48("46"), !isCounted)) || (stryMutAct_9fa48("48") ? limits.perDay !== null : stryMutAct_9fa48("47") ? false : (stryCov_9fa48("47", "48"), limits.perDay === null)))) return decision;
    const day = countDay(stryMutAct_9fa48("49") ? latch.day && null : (stryCov_9fa48("49"), latch.day ?? null), limits.perDay, asking.nowMs);
    return (stryMutAct_9fa48("52") ? day !== null : stryMutAct_9fa48("51") ? false : stryMutAct_9fa48("50") ? true : (stryCov_9fa48("50", "51", "52"), day === null)) ? refuse(stryMutAct_9fa48("53") ? "" : (stryCov_9fa48("53"), "policy/day-used")) : stryMutAct_9fa48("54") ? {} : (stryCov_9fa48("54"), {
      ...decision,
      day
    });
  }
}

/** Lets a machine's policy decide, where its site does not stand in the way. */
function decideBySite(machine: MachineFacts, latch: LatchFacts, asking: Asking): Decision {
  if (stryMutAct_9fa48("55")) {
    {}
  } else {
    stryCov_9fa48("55");
    if (stryMutAct_9fa48("58") ? machine.site !== undefined : stryMutAct_9fa48("57") ? false : stryMutAct_9fa48("56") ? true : (stryCov_9fa48("56", "57", "58"), machine.site === undefined)) return decideByPolicy(machine, latch, asking);
    const {
      site,
      monotonicMs
    } = machine.site;
    const judged = judgeSite(site, machine.site, monotonicMs);
    if (stryMutAct_9fa48("61") ? judged !== "returns" : stryMutAct_9fa48("60") ? false : stryMutAct_9fa48("59") ? true : (stryCov_9fa48("59", "60", "61"), judged === (stryMutAct_9fa48("62") ? "" : (stryCov_9fa48("62"), "returns")))) return decideReturn(machine, take(latch.pace, asking.nowMs));
    if (stryMutAct_9fa48("65") ? judged !== "as-ever" && judged !== "counts" || judged !== "waits" : stryMutAct_9fa48("64") ? false : stryMutAct_9fa48("63") ? true : (stryCov_9fa48("63", "64", "65"), (stryMutAct_9fa48("67") ? judged !== "as-ever" || judged !== "counts" : stryMutAct_9fa48("66") ? true : (stryCov_9fa48("66", "67"), (stryMutAct_9fa48("69") ? judged === "as-ever" : stryMutAct_9fa48("68") ? true : (stryCov_9fa48("68", "69"), judged !== (stryMutAct_9fa48("70") ? "" : (stryCov_9fa48("70"), "as-ever")))) && (stryMutAct_9fa48("72") ? judged === "counts" : stryMutAct_9fa48("71") ? true : (stryCov_9fa48("71", "72"), judged !== (stryMutAct_9fa48("73") ? "" : (stryCov_9fa48("73"), "counts")))))) && (stryMutAct_9fa48("75") ? judged === "waits" : stryMutAct_9fa48("74") ? true : (stryCov_9fa48("74", "75"), judged !== (stryMutAct_9fa48("76") ? "" : (stryCov_9fa48("76"), "waits")))))) return refuse(judged);
    const decision = decideByPolicy(machine, latch, asking);
    if (stryMutAct_9fa48("79") ? (!decision.release || judged === "as-ever") && site === null : stryMutAct_9fa48("78") ? false : stryMutAct_9fa48("77") ? true : (stryCov_9fa48("77", "78", "79"), (stryMutAct_9fa48("81") ? !decision.release && judged === "as-ever" : stryMutAct_9fa48("80") ? false : (stryCov_9fa48("80", "81"), (stryMutAct_9fa48("82") ? decision.release : (stryCov_9fa48("82"), !decision.release)) || (stryMutAct_9fa48("84") ? judged !== "as-ever" : stryMutAct_9fa48("83") ? false : (stryCov_9fa48("83", "84"), judged === (stryMutAct_9fa48("85") ? "" : (stryCov_9fa48("85"), "as-ever")))))) || (stryMutAct_9fa48("87") ? site !== null : stryMutAct_9fa48("86") ? false : (stryCov_9fa48("86", "87"), site === null)))) return decision;
    return (stryMutAct_9fa48("90") ? judged !== "waits" : stryMutAct_9fa48("89") ? false : stryMutAct_9fa48("88") ? true : (stryCov_9fa48("88", "89", "90"), judged === (stryMutAct_9fa48("91") ? "" : (stryCov_9fa48("91"), "waits")))) ? refuse(stryMutAct_9fa48("92") ? "" : (stryCov_9fa48("92"), "policy/site-full")) : stryMutAct_9fa48("93") ? {} : (stryCov_9fa48("93"), {
      ...decision,
      enters: site.window
    });
  }
}

/** A machine that fell silent with its site comes back with it, as if a person had unlocked it. */
function decideReturn({
  alive,
  site
}: MachineFacts, pace: Pace | null): Decision {
  if (stryMutAct_9fa48("94")) {
    {}
  } else {
    stryCov_9fa48("94");
    const timeoutMs = stryMutAct_9fa48("96") ? alive.pulse?.timeoutMs : stryMutAct_9fa48("95") ? alive?.pulse.timeoutMs : (stryCov_9fa48("95", "96"), alive?.pulse?.timeoutMs);
    if (stryMutAct_9fa48("99") ? (alive === undefined || timeoutMs === undefined) && !site?.site : stryMutAct_9fa48("98") ? false : stryMutAct_9fa48("97") ? true : (stryCov_9fa48("97", "98", "99"), (stryMutAct_9fa48("101") ? alive === undefined && timeoutMs === undefined : stryMutAct_9fa48("100") ? false : (stryCov_9fa48("100", "101"), (stryMutAct_9fa48("103") ? alive !== undefined : stryMutAct_9fa48("102") ? false : (stryCov_9fa48("102", "103"), alive === undefined)) || (stryMutAct_9fa48("105") ? timeoutMs !== undefined : stryMutAct_9fa48("104") ? false : (stryCov_9fa48("104", "105"), timeoutMs === undefined)))) || (stryMutAct_9fa48("106") ? site?.site : (stryCov_9fa48("106"), !(stryMutAct_9fa48("107") ? site.site : (stryCov_9fa48("107"), site?.site)))))) return refuse(stryMutAct_9fa48("108") ? "" : (stryCov_9fa48("108"), "policy/not-alive"));
    return stryMutAct_9fa48("109") ? {} : (stryCov_9fa48("109"), {
      release: stryMutAct_9fa48("110") ? false : (stryCov_9fa48("110"), true),
      pace,
      use: null,
      pulse: returned(timeoutMs, alive.monotonicMs),
      enters: site.site.window
    });
  }
}
function decideByPolicy(machine: MachineFacts, latch: LatchFacts, asking: Asking): Decision {
  if (stryMutAct_9fa48("111")) {
    {}
  } else {
    stryCov_9fa48("111");
    const pace = take(latch.pace, asking.nowMs);
    if (stryMutAct_9fa48("114") ? machine.policy !== "always" : stryMutAct_9fa48("113") ? false : stryMutAct_9fa48("112") ? true : (stryCov_9fa48("112", "113", "114"), machine.policy === (stryMutAct_9fa48("115") ? "" : (stryCov_9fa48("115"), "always")))) return stryMutAct_9fa48("116") ? {} : (stryCov_9fa48("116"), {
      release: stryMutAct_9fa48("117") ? false : (stryCov_9fa48("117"), true),
      pace,
      use: null
    });
    if (stryMutAct_9fa48("120") ? machine.policy !== "alive" : stryMutAct_9fa48("119") ? false : stryMutAct_9fa48("118") ? true : (stryCov_9fa48("118", "119", "120"), machine.policy === (stryMutAct_9fa48("121") ? "" : (stryCov_9fa48("121"), "alive")))) return decideAlive(machine.alive, pace);
    const judged = judgeLease(machine.lease, latch.use, asking);
    const isOpen = stryMutAct_9fa48("124") ? judged === "again" && judged === "opens" : stryMutAct_9fa48("123") ? false : stryMutAct_9fa48("122") ? true : (stryCov_9fa48("122", "123", "124"), (stryMutAct_9fa48("126") ? judged !== "again" : stryMutAct_9fa48("125") ? false : (stryCov_9fa48("125", "126"), judged === (stryMutAct_9fa48("127") ? "" : (stryCov_9fa48("127"), "again")))) || (stryMutAct_9fa48("129") ? judged !== "opens" : stryMutAct_9fa48("128") ? false : (stryCov_9fa48("128", "129"), judged === (stryMutAct_9fa48("130") ? "" : (stryCov_9fa48("130"), "opens")))));
    // What nobody was asked for, nobody has approved: a window for any address is none here.
    if (stryMutAct_9fa48("133") ? machine.policy === "approval" || !isOpen || machine.lease?.to !== asking.from : stryMutAct_9fa48("132") ? false : stryMutAct_9fa48("131") ? true : (stryCov_9fa48("131", "132", "133"), (stryMutAct_9fa48("135") ? machine.policy !== "approval" : stryMutAct_9fa48("134") ? true : (stryCov_9fa48("134", "135"), machine.policy === (stryMutAct_9fa48("136") ? "" : (stryCov_9fa48("136"), "approval")))) && (stryMutAct_9fa48("138") ? !isOpen && machine.lease?.to !== asking.from : stryMutAct_9fa48("137") ? true : (stryCov_9fa48("137", "138"), (stryMutAct_9fa48("139") ? isOpen : (stryCov_9fa48("139"), !isOpen)) || (stryMutAct_9fa48("141") ? machine.lease?.to === asking.from : stryMutAct_9fa48("140") ? false : (stryCov_9fa48("140", "141"), (stryMutAct_9fa48("142") ? machine.lease.to : (stryCov_9fa48("142"), machine.lease?.to)) !== asking.from)))))) return askOperators(machine.queue, asking);
    if (stryMutAct_9fa48("145") ? judged !== "again" : stryMutAct_9fa48("144") ? false : stryMutAct_9fa48("143") ? true : (stryCov_9fa48("143", "144", "145"), judged === (stryMutAct_9fa48("146") ? "" : (stryCov_9fa48("146"), "again")))) return stryMutAct_9fa48("147") ? {} : (stryCov_9fa48("147"), {
      release: stryMutAct_9fa48("148") ? false : (stryCov_9fa48("148"), true),
      pace,
      use: null
    });
    if (stryMutAct_9fa48("151") ? judged !== "opens" && machine.lease === null : stryMutAct_9fa48("150") ? false : stryMutAct_9fa48("149") ? true : (stryCov_9fa48("149", "150", "151"), (stryMutAct_9fa48("153") ? judged === "opens" : stryMutAct_9fa48("152") ? false : (stryCov_9fa48("152", "153"), judged !== (stryMutAct_9fa48("154") ? "" : (stryCov_9fa48("154"), "opens")))) || (stryMutAct_9fa48("156") ? machine.lease !== null : stryMutAct_9fa48("155") ? false : (stryCov_9fa48("155", "156"), machine.lease === null)))) return refuse((stryMutAct_9fa48("159") ? judged !== "opens" : stryMutAct_9fa48("158") ? false : stryMutAct_9fa48("157") ? true : (stryCov_9fa48("157", "158", "159"), judged === (stryMutAct_9fa48("160") ? "" : (stryCov_9fa48("160"), "opens")))) ? stryMutAct_9fa48("161") ? "" : (stryCov_9fa48("161"), "policy/no-lease") : judged);
    return stryMutAct_9fa48("162") ? {} : (stryCov_9fa48("162"), {
      release: stryMutAct_9fa48("163") ? false : (stryCov_9fa48("163"), true),
      pace,
      use: stryMutAct_9fa48("164") ? {} : (stryCov_9fa48("164"), {
        lease: machine.lease.number,
        atMs: asking.nowMs,
        from: asking.from
      })
    });
  }
}

/** What is not approved asks for it. */
function askOperators(queue: Queue | undefined, {
  nowMs
}: Asking): Decision {
  if (stryMutAct_9fa48("165")) {
    {}
  } else {
    stryCov_9fa48("165");
    if (stryMutAct_9fa48("168") ? queue !== undefined : stryMutAct_9fa48("167") ? false : stryMutAct_9fa48("166") ? true : (stryCov_9fa48("166", "167", "168"), queue === undefined)) return refuse(stryMutAct_9fa48("169") ? "" : (stryCov_9fa48("169"), "policy/crowded"));
    const judged = judgeRequest(queue.own, queue.crowd, nowMs);
    return (stryMutAct_9fa48("172") ? judged !== "begins" : stryMutAct_9fa48("171") ? false : stryMutAct_9fa48("170") ? true : (stryCov_9fa48("170", "171", "172"), judged === (stryMutAct_9fa48("173") ? "" : (stryCov_9fa48("173"), "begins")))) ? stryMutAct_9fa48("174") ? {} : (stryCov_9fa48("174"), {
      release: stryMutAct_9fa48("175") ? true : (stryCov_9fa48("175"), false),
      reason: stryMutAct_9fa48("176") ? "" : (stryCov_9fa48("176"), "policy/waits"),
      begins: stryMutAct_9fa48("177") ? false : (stryCov_9fa48("177"), true)
    }) : refuse(judged);
  }
}
function decideAlive(alive: AliveFacts | undefined, pace: Pace | null): Decision {
  if (stryMutAct_9fa48("178")) {
    {}
  } else {
    stryCov_9fa48("178");
    const pulse = stryMutAct_9fa48("179") ? alive?.pulse && null : (stryCov_9fa48("179"), (stryMutAct_9fa48("180") ? alive.pulse : (stryCov_9fa48("180"), alive?.pulse)) ?? null);
    if (stryMutAct_9fa48("183") ? (alive === undefined || pulse === null) && !isAlive(pulse, alive.monotonicMs) : stryMutAct_9fa48("182") ? false : stryMutAct_9fa48("181") ? true : (stryCov_9fa48("181", "182", "183"), (stryMutAct_9fa48("185") ? alive === undefined && pulse === null : stryMutAct_9fa48("184") ? false : (stryCov_9fa48("184", "185"), (stryMutAct_9fa48("187") ? alive !== undefined : stryMutAct_9fa48("186") ? false : (stryCov_9fa48("186", "187"), alive === undefined)) || (stryMutAct_9fa48("189") ? pulse !== null : stryMutAct_9fa48("188") ? false : (stryCov_9fa48("188", "189"), pulse === null)))) || (stryMutAct_9fa48("190") ? isAlive(pulse, alive.monotonicMs) : (stryCov_9fa48("190"), !isAlive(pulse, alive.monotonicMs))))) return refuse(stryMutAct_9fa48("191") ? "" : (stryCov_9fa48("191"), "policy/not-alive"));
    const extended = released(pulse, alive.monotonicMs);
    return stryMutAct_9fa48("192") ? {} : (stryCov_9fa48("192"), {
      release: stryMutAct_9fa48("193") ? false : (stryCov_9fa48("193"), true),
      pace,
      use: null,
      ...((stryMutAct_9fa48("196") ? extended !== null : stryMutAct_9fa48("195") ? false : stryMutAct_9fa48("194") ? true : (stryCov_9fa48("194", "195", "196"), extended === null)) ? {} : stryMutAct_9fa48("197") ? {} : (stryCov_9fa48("197"), {
        pulse: extended
      }))
    });
  }
}
function refuse(reason: RefusalReason): Decision {
  if (stryMutAct_9fa48("198")) {
    {}
  } else {
    stryCov_9fa48("198");
    return stryMutAct_9fa48("199") ? {} : (stryCov_9fa48("199"), {
      release: stryMutAct_9fa48("200") ? true : (stryCov_9fa48("200"), false),
      reason
    });
  }
}