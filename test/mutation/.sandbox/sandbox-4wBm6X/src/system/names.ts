// @ts-nocheck
import type { ChildProcess } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { isIP, type LookupFunction, type Socket } from "node:net";
import { addressesInHosts, asksHostsFileFirst, parseAhosts } from "../formats/network/hosts.ts";

/**
 * Names of servers, asked for as glibc asks (nsswitch.conf(5): /etc/hosts, DNS, systemd-resolved,
 * mDNS, …), but by a program that can be killed. Node's own way runs getaddrinfo(3) on the four
 * threads that also read files, and a name server that is silent keeps a thread for ten seconds and
 * more. docs/decisions/073-names-that-do-not-resolve.md
 */
interface NameRequest {
  /** For `net.connect`. */
  readonly lookup: LookupFunction;
  /** Whether an answer is still waited for. */
  isPending(): boolean;
  /** The answer is not waited for any more. */
  drop(): void;
}

/** Above that many the oldest gives way: those that are answered take milliseconds. */
const AT_ONCE = 128;
/** glibc gives up by itself after two rounds of 5 s over at most three name servers. */
const LIFE_MS = 35_000;
/**
 * A name whose first server is silent may be answered by the second: the next attempt, after its
 * pause, finds the answer.
 */
const LINGER_MS = 6_000;
const ADDRESS_COUNT = 16;
const OUTPUT_BYTES = 64 << 10;
const FILE_BYTES = 1 << 20;
const NAME_LENGTH = 253;
const SEARCH_PATH = "/usr/sbin:/usr/bin:/sbin:/bin";

/** Begins a look-up of names for one request, which can be dropped. */
export function requestName(): NameRequest {
  let using: LookUp | null = null;
  const drop = () => {
    using?.leave();
    using = null;
  };
  return {
    isPending: () => using !== null,
    drop,
    lookup: (name, { all }, callback) => {
      const give = (addresses: readonly string[]) => {
        const list = addresses.map((address) => ({ address, family: isIP(address) }));
        const [first] = list;
        if (first === undefined) return callback(notFound(name), "");
        if (all === true) callback(null, list);
        else callback(null, first.address, first.family);
      };
      const known = readHosts(name);
      if (known !== null) return process.nextTick(give, known);
      const lookUp = join(name);
      if (lookUp === null) return process.nextTick(give, []);
      using = lookUp;
      lookUp.result.then(
        (addresses) => {
          if (using !== lookUp) return; // dropped meanwhile
          drop();
          give(addresses);
        },
        () => give([]),
      );
    },
  };
}

function notFound(name: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${name} has no address`), { code: "ENOTFOUND" });
}

/**
 * null where /etc/hosts does not decide. The files are small and on the root: read at once, without
 * a thread.
 */
function readHosts(name: string): readonly string[] | null {
  if (!asksHostsFileFirst(readSmall("/etc/nsswitch.conf"))) return null;
  const addresses = addressesInHosts(readSmall("/etc/hosts"), name);
  const usable = usableOf(addresses);
  return usable.length > 0 ? usable : null;
}

function usableOf(addresses: readonly string[]): readonly string[] {
  return addresses.filter((address) => isIP(address) !== 0).slice(0, ADDRESS_COUNT);
}

function readSmall(path: string): string {
  try {
    const facts = statSync(path);
    return facts.isFile() && facts.size <= FILE_BYTES ? readFileSync(path, "latin1") : "";
  } catch {
    return "";
  }
}

/** One name being asked for, by however many requests. */
class LookUp {
  /** Empty where the name has none, or was not answered. Never rejects. */
  readonly result: Promise<readonly string[]>;
  readonly #child: ChildProcess;
  #users = 0;
  #linger: NodeJS.Timeout | undefined;

  constructor(name: string, onEnd: () => void) {
    const { spawn } = process.getBuiltinModule("node:child_process");
    const child = spawn("getent", ["ahosts", "--", name], {
      env: { ...process.env, LC_ALL: "C", PATH: SEARCH_PATH },
      stdio: ["ignore", "pipe", "ignore"],
    });
    // Whoever waits has a deadline that keeps this process alive; nobody else does it on a name's
    // account.
    child.unref();
    (child.stdout as Socket).unref();
    let text = "";
    child.stdout.setEncoding("latin1").on("data", (piece: string) => {
      text += piece;
      if (text.length > OUTPUT_BYTES) this.kill();
    });
    const life = setTimeout(() => this.kill(), LIFE_MS).unref();
    this.#child = child;
    this.result = new Promise((resolve) => {
      const end = (addresses: readonly string[]) => {
        clearTimeout(life);
        clearTimeout(this.#linger);
        onEnd();
        resolve(usableOf(addresses));
      };
      child.on("error", () => end([]));
      child.on("close", (status) => end(status === 0 ? parseAhosts(text) : []));
    });
  }

  enter(): void {
    this.#users++;
    clearTimeout(this.#linger);
  }

  leave(): void {
    this.#users--;
    if (this.#users === 0) this.#linger = setTimeout(() => this.kill(), LINGER_MS).unref();
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

const underWay = new Map<string, LookUp>();
let watchesExit = false;

/** null where no program can be started for it. */
function join(name: string): LookUp | null {
  const present = underWay.get(name);
  if (present !== undefined) {
    present.enter();
    return present;
  }
  if (name.length > NAME_LENGTH) return null;
  makeRoom();
  try {
    const begun = new LookUp(name, () => {
      if (underWay.get(name) === begun) underWay.delete(name);
    });
    underWay.set(name, begun);
    begun.enter();
    return begun;
  } catch {
    return null; // no process or descriptor is left; the attempt is made again
  }
}

function makeRoom(): void {
  if (!watchesExit) process.once("exit", killAll);
  watchesExit = true;
  const [oldest] = underWay;
  if (underWay.size < AT_ONCE || oldest === undefined) return;
  oldest[1].kill();
  underWay.delete(oldest[0]);
}

function killAll(): void {
  for (const lookUp of underWay.values()) lookUp.kill();
}
