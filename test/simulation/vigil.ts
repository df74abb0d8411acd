/**
 * Whether machines under `alive` are there, told by what passed the server's doors, in true time,
 * which the server does not know. Where it cannot be told in which order things came there are two
 * ends: `least`, until which it surely is so, and `most`, after which it surely is not.
 */

/** What is known of one machine. */
interface Vigil {
  timeoutMs: number;
  /** Until when it may be released, and is. */
  openMost: number;
  openLeast: number;
  /**
   * What `openMost` was before a server began whose clock had been set back, and which so knows
   * nothing. What lies on the disk says it again once the clock is right. Null where none has.
   */
  mostBefore: number | null;
  /** When it is to be locked at the latest, and at the earliest. */
  dueMost: number;
  dueLeast: number;
  /** A release has given it the time of a boot since it was heard: surely, or maybe. */
  isExtended: boolean;
  maybeExtended: boolean;
  /** It may have fallen silent with its site, and is not locked then. */
  maybeGone: boolean;
  /** The server surely knows where it had been alive then. */
  isPlaceKnown: boolean;
  /** When it was heard last, or begun. */
  heardMs: number;
  /** When an entry that changes these was read last. */
  changedMs: number;
  /** What is durable of it is no older than this, by the server's clock, set so often till then. */
  durableWallMs: number;
  durableJumps: number;
  /** Heartbeats that have arrived, and were not answered. */
  readonly arrived: Set<Beat>;
}

interface Beat {
  readonly atMs: number;
}

/** When an entry was written: between two readings of the log. */
export interface Written {
  readonly sinceMs: number;
  readonly nowMs: number;
  /** By the server's clock. */
  readonly wallMs: number;
  /** How often that clock had been set before. */
  readonly jumps: number;
}

const BOOT_MS = 900_000;
const CLOCK_CORRECTION_MS = 60_000;
/** So late at most it is written that a machine was heard. */
const UNWRITTEN_MS = 10_800_000;
/** A silent machine is looked for every second, and its lock takes a moment. */
const LOOK_MS = 10_000;
/** A pause that is shorter than this may pass for none. */
const HELD_UP_MS = 5_000;

export class Vigils {
  readonly #all = new Map<string, Vigil>();
  /** What the server's clock was ahead of the true time, and from when on. */
  readonly #offsets: { readonly fromMs: number; readonly offsetMs: number }[] = [{ fromMs: 0, offsetMs: 0 }];
  #jumpsAtEnd = 0;

  clockSet(nowMs: number, offsetMs: number): void {
    this.#offsets.push({ fromMs: nowMs, offsetMs });
  }

  /** It was put under `alive`, or unlocked. */
  begin(machine: string, timeoutMs: number, { sinceMs, nowMs, wallMs, jumps }: Written): void {
    const [least, most] = [sinceMs, nowMs].map((ms) => ms + Math.max(timeoutMs, BOOT_MS)) as [number, number];
    const ends = { openMost: most, dueMost: most, openLeast: least, dueLeast: least };
    const durable = { durableWallMs: wallMs, durableJumps: jumps, changedMs: nowMs };
    this.#all.set(machine, {
      timeoutMs,
      ...ends,
      ...durable,
      mostBefore: null,
      isExtended: false,
      maybeExtended: false,
      maybeGone: false,
      isPlaceKnown: false,
      heardMs: nowMs,
      arrived: this.#all.get(machine)?.arrived ?? new Set(),
    });
  }

  /** It is under another policy, or locked. */
  end(machine: string): void {
    this.#all.delete(machine);
  }

  /** It was released. @returns what is wrong with that; null where nothing is */
  released(machine: string, { sinceMs, nowMs, wallMs, jumps }: Written): string | null {
    const refusal = this.refusal(machine, sinceMs);
    const vigil = this.#all.get(machine);
    if (refusal !== null || vigil === undefined) return refusal;
    if (!vigil.isExtended) {
      vigil.openMost = Math.max(vigil.openMost, nowMs + BOOT_MS);
      vigil.dueMost = Math.max(vigil.dueMost, nowMs + BOOT_MS);
    }
    if (!vigil.maybeExtended) {
      vigil.openLeast = Math.max(vigil.openLeast, sinceMs + BOOT_MS);
      vigil.dueLeast = Math.max(vigil.dueLeast, sinceMs + BOOT_MS);
      Object.assign(vigil, { durableWallMs: wallMs, durableJumps: jumps });
    }
    Object.assign(vigil, { isExtended: true, maybeExtended: true, changedMs: nowMs });
    return null;
  }

  /** Why it must not be released at this time; null where it may be. */
  refusal(machine: string, nowMs: number): string | null {
    const vigil = this.#all.get(machine);
    if (vigil === undefined) return "nothing was heard of it";
    if (vigil.arrived.size > 0) return null;
    return nowMs < vigil.openMost ? null : `it was silent for ${nowMs - vigil.openMost} ms too long`;
  }

  /** Whether it is surely released at this time. */
  isOpen(machine: string, nowMs: number): boolean {
    const vigil = this.#all.get(machine);
    return vigil !== undefined && !vigil.maybeGone && nowMs < vigil.openLeast;
  }

  /** Whether it was surely heard just now, as often as is wanted, and is under `alive`. */
  isSurelyThere(machine: string, nowMs: number): boolean {
    const vigil = this.#all.get(machine);
    if (vigil === undefined || vigil.maybeGone || vigil.maybeExtended || vigil.arrived.size > 0) return false;
    return nowMs < vigil.openLeast - (vigil.timeoutMs * 2) / 3;
  }

  /**
   * Its site is not as ever: what is silent now may be gone with it.
   * @param isPlaceKnown whether the server surely knows where it had been alive
   */
  mayBeGone(machine: string, nowMs: number, isPlaceKnown: boolean): void {
    const vigil = this.#all.get(machine);
    if (vigil === undefined || vigil.maybeGone || nowMs < vigil.dueLeast) return;
    Object.assign(vigil, { maybeGone: true, isPlaceKnown });
  }

  /** It was heard within the window of its site, from where it had been alive. */
  heardAtHome(machine: string): void {
    if (this.#all.get(machine)?.isPlaceKnown === true) this.back(machine);
  }

  /** It is not gone with its site any more. */
  back(machine: string): void {
    const vigil = this.#all.get(machine);
    if (vigil !== undefined) vigil.maybeGone = false;
  }

  /** A window of its site has let it in: it has the time of a boot, once. */
  returned(machine: string, { sinceMs, nowMs, wallMs, jumps }: Written): void {
    const vigil = this.#all.get(machine);
    if (vigil === undefined) return;
    Object.assign(vigil, {
      openMost: Math.max(vigil.openMost, nowMs + BOOT_MS),
      dueMost: Math.max(vigil.dueMost, nowMs + BOOT_MS),
      openLeast: Math.min(vigil.maybeGone ? sinceMs + BOOT_MS : vigil.openLeast, sinceMs + BOOT_MS),
      dueLeast: Math.min(vigil.maybeGone ? sinceMs + BOOT_MS : vigil.dueLeast, sinceMs + BOOT_MS),
      durableWallMs: wallMs,
      durableJumps: jumps,
      isExtended: false,
      maybeExtended: true,
      maybeGone: false,
      changedMs: nowMs,
    });
  }

  /** A heartbeat has arrived that ought to count. @returns what is told of it */
  arrives(machine: string, nowMs: number): { refused(): void; counted(answeredMs: number): void } {
    const beat: Beat = { atMs: nowMs };
    const vigil = this.#all.get(machine);
    vigil?.arrived.add(beat);
    return {
      refused: () => void this.#all.get(machine)?.arrived.delete(beat),
      counted: (answeredMs) => {
        const now = this.#all.get(machine);
        now?.arrived.delete(beat);
        if (now !== undefined) this.#heard(now, nowMs, answeredMs);
      },
    };
  }

  #heard(vigil: Vigil, arrivedMs: number, answeredMs: number): void {
    vigil.heardMs = answeredMs;
    const [least, most] = [arrivedMs + vigil.timeoutMs, answeredMs + vigil.timeoutMs];
    if (vigil.changedMs > arrivedMs) {
      // A release or an operator came meanwhile, nobody knows whether before it.
      Object.assign(vigil, {
        openMost: Math.max(vigil.openMost, most),
        dueMost: Math.max(vigil.dueMost, most),
        openLeast: Math.min(vigil.openLeast, least),
        dueLeast: Math.min(vigil.dueLeast, least),
        isExtended: false,
        maybeExtended: true,
      });
      return;
    }
    const ends = { openMost: most, dueMost: most, openLeast: least, dueLeast: least };
    Object.assign(vigil, { ...ends, mostBefore: null, isExtended: false, maybeExtended: false });
  }

  /** It is locked for its silence. @returns what is wrong with that */
  gone(machine: string, nowMs: number): string | null {
    const vigil = this.#all.get(machine);
    if (vigil === undefined || vigil.maybeGone || nowMs >= vigil.dueLeast) return null;
    return `it was locked ${vigil.dueLeast - nowMs} ms before its time`;
  }

  /** A machine that ought to be locked since a while; null where there is none. */
  overdue(nowMs: number): string | null {
    for (const [machine, { dueMost, arrived, maybeGone }] of this.#all)
      if (arrived.size === 0 && !maybeGone && nowMs > dueMost + LOOK_MS) return machine;
    return null;
  }

  /** The server's process ends. What has arrived may have been heard. */
  serverEnds(nowMs: number, jumps: number): void {
    this.#jumpsAtEnd = jumps;
    for (const vigil of this.#all.values()) {
      if (vigil.arrived.size === 0) continue;
      vigil.openMost = Math.max(vigil.openMost, nowMs + vigil.timeoutMs);
      vigil.dueMost = Math.max(vigil.dueMost, nowMs + vigil.timeoutMs);
      Object.assign(vigil, { isExtended: false, maybeExtended: true });
      vigil.arrived.clear();
    }
  }

  /**
   * A server begins, with what lasts. A clock that is as it was, or ahead, gives nothing more. One
   * that is behind may give what was there once more, unless it shows.
   */
  serverBegins(nowMs: number, wallMs: number): void {
    const offsetMs = this.#offsets.at(-1)?.offsetMs ?? 0;
    for (const vigil of this.#all.values()) {
      const { timeoutMs, durableWallMs, durableJumps, heardMs } = vigil;
      // What is written is of the last time that it was heard, or of one not long before.
      const isBehind = offsetMs < this.#mostOffsetSince(heardMs - 2 * timeoutMs - UNWRITTEN_MS);
      const isSeen = durableJumps === this.#jumpsAtEnd && wallMs < durableWallMs - CLOCK_CORRECTION_MS;
      vigil.openMost = Math.max(vigil.openMost, vigil.mostBefore ?? vigil.openMost);
      vigil.mostBefore = isSeen ? vigil.openMost : null;
      if (isSeen) vigil.openMost = nowMs;
      else if (isBehind) vigil.openMost = nowMs + Math.max(timeoutMs, BOOT_MS);
      vigil.dueMost = Math.max(vigil.dueMost, vigil.openMost, nowMs + timeoutMs);
      vigil.openLeast = Number.NEGATIVE_INFINITY;
      vigil.dueLeast = nowMs + timeoutMs;
      vigil.maybeExtended = true;
    }
  }

  #mostOffsetSince(fromMs: number): number {
    const first = this.#offsets.findLastIndex((offset) => offset.fromMs <= fromMs);
    return Math.max(...this.#offsets.slice(Math.max(0, first)).map(({ offsetMs }) => offsetMs));
  }

  /** The server did not listen until now, although it ran. */
  serverHeldUp(sinceMs: number, nowMs: number): void {
    for (const vigil of this.#all.values()) {
      vigil.dueMost = Math.max(vigil.dueMost, nowMs + vigil.timeoutMs);
      if (nowMs - sinceMs > HELD_UP_MS) vigil.dueLeast = Math.max(vigil.dueLeast, nowMs + vigil.timeoutMs);
    }
  }
}
