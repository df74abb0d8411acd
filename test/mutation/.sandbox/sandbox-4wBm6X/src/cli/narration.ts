// @ts-nocheck
import { printable } from "../core/text.ts";
import type { RunRequest, System } from "../system/port.ts";
import type { Terminal } from "./command.ts";

/** After a longer silence a person wonders whether anything happens at all. */
const SILENCE_MS = 1000;
const TICK_MS = 250;

/**
 * Decides when to say what is being done: once nothing was said for a while, and once for each
 * thing, so that a KDF of a minute is one line. Time is an argument.
 */
export class Narrator {
  readonly #running = new Map<number, string>();
  #next = 0;
  #saidAtMs: number;
  #told = "";

  constructor(nowMs: number) {
    this.#saidAtMs = nowMs;
  }

  /** Something was said, or somebody was asked. */
  said(nowMs: number): void {
    this.#saidAtMs = nowMs;
    this.#told = "";
  }

  /** Something has begun. @returns what to call when it has ended */
  begin(what: string): () => void {
    const number = this.#next++;
    this.#running.set(number, what);
    return () => this.#running.delete(number);
  }

  /** What to say now; null where nothing is to be said. */
  tick(nowMs: number): string | null {
    const what = [...this.#running.values()].at(-1);
    if (what === undefined || nowMs - this.#saidAtMs < SILENCE_MS) return null;
    const isNew = what !== this.#told;
    this.said(nowMs);
    this.#told = what;
    return isNew ? what : null;
  }
}

/**
 * Gives the same system and terminal, which say on stderr what a command waits for once it was
 * silent for more than a second.
 */
export function narrate<S extends System>(system: S, terminal: Terminal): { system: S; terminal: Terminal } {
  const narrator = new Narrator(system.monotonicMs());
  const tick = () => {
    const text = narrator.tick(system.monotonicMs());
    if (text !== null) terminal.hint(`… ${text}`);
  };
  let isTicking = false;
  const during = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    if (!isTicking) setInterval(tick, TICK_MS).unref();
    isTicking = true;
    const end = narrator.begin(what);
    try {
      return await work();
    } finally {
      end();
    }
  };
  const said = () => narrator.said(system.monotonicMs());
  return {
    system: {
      ...system,
      run: (command) => during(describe(command), () => system.run(command)),
      request: (request) => during(`asking ${hostOf(request.url)}`, () => system.request(request)),
      openTpm: (limits) => during("waiting for the machine's TPM", () => system.openTpm(limits)),
      lock: (path, waitMs) => during("waiting for another nightlatch to end", () => system.lock(path, waitMs)),
    },
    terminal: {
      json: terminal.json,
      signal: terminal.signal,
      get isInteractive() {
        return terminal.isInteractive;
      },
      line: (text) => {
        if (!terminal.json) said();
        terminal.line(text);
      },
      result: (value) => terminal.result(value),
      item: (value) => terminal.item(value),
      get isHeard() {
        return terminal.isHeard;
      },
      hint: (text) => {
        said();
        terminal.hint(text);
      },
      askSecret: (prompt) => terminal.askSecret(prompt).finally(said),
      confirm: (question) => terminal.confirm(question).finally(said),
      readInput: (limitBytes) => terminal.readInput(limitBytes).finally(said),
      get hasScreen() {
        return terminal.hasScreen;
      },
      showOnce: (compose) => terminal.showOnce(compose).finally(said),
      print: (bytes) => terminal.print(bytes),
    },
  };
}

/**
 * What a program does, in words, for those that take their time. Of its arguments only the device
 * or the unit is told.
 */
export function describe({ argv }: Pick<RunRequest, "argv">): string {
  const [program, ...args] = argv;
  const name = program.slice(program.lastIndexOf("/") + 1);
  switch (name) {
    case "cryptsetup":
      return describeCryptsetup(args);
    case "kexec":
      return args.includes("-l") ? "loading the kernel" : "asking kexec";
    case "systemctl":
      return `waiting for systemd: systemctl ${printable(args.find((arg) => !arg.startsWith("-")) ?? "")}`.trim();
    case "sync":
      return "waiting for the disk";
    case "clevis":
      return "waiting for clevis";
    default:
      return `running ${printable(name, 40)}`;
  }
}

const ACTIONS: Readonly<Record<string, string>> = {
  luksAddKey: "adding a keyslot to",
  luksKillSlot: "removing a keyslot from",
  luksHeaderBackup: "backing up the header of",
  token: "writing to the header of",
  config: "writing to the header of",
};

function describeCryptsetup(args: readonly string[]): string {
  const [action = "", ...rest] = positionals(args);
  const device = printable(rest[action === "token" ? 1 : 0] ?? "a volume");
  if (action === "open" && args.includes("--test-passphrase")) {
    const slot = args[args.indexOf("--key-slot") + 1];
    return `trying a key on ${args.includes("--key-slot") ? `keyslot ${printable(slot ?? "", 4)} of ` : ""}${device}`;
  }
  return `${ACTIONS[action] ?? (action === "open" ? "opening" : "running cryptsetup on")} ${device}`;
}

/**
 * Options without a value, of those that we pass; every other that begins with two dashes has one.
 */
const SWITCHES: ReadonlySet<string> = new Set(["--test-passphrase", "--disable-external-tokens"]);

function positionals(args: readonly string[]): string[] {
  return args.filter((arg, index) => {
    const before = args[index - 1] ?? "";
    return !arg.startsWith("-") && !(before.startsWith("--") && !SWITCHES.has(before));
  });
}

/** An address may hold credentials, which no message repeats. */
const hostOf = (url: string): string => (URL.canParse(url) ? new URL(url).host : "the server");
