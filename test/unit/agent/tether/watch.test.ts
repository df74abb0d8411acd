/** The tether against a machine that is played: what it does, and in which order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TetherPower, watchTether } from "../../../../src/agent/tether/watch.ts";
import type { TetherConfig } from "../../../../src/formats/own/agent-config.ts";
import {
  buildHeardServers,
  buildPause,
  type HeardServer,
  parseTrip,
  type Trip,
} from "../../../../src/formats/own/tether.ts";
import type { Programs } from "../../../support/fake-files.ts";
import { VirtualTime } from "../../../support/virtual-time.ts";
import { writableSystem } from "../../../support/writable-files.ts";

const HEARD = "/run/heard/heard.json";
const FOLDER = "/run/tether";
const MINUTE_MS = 60_000;
const ZEROS = "0".repeat(128);
/** Short, since each look of the tether costs a test as much as any other. */
const AFTER_MS = 20_000;
const INTERVAL_MS = 5_000;
const TETHER: TetherConfig = { afterMs: AFTER_MS, action: "suspend", volumes: ["data", "more"] };
const UUIDS = { root: "11".repeat(16), data: "22".repeat(16), more: "33".repeat(16), other: "44".repeat(16) };

/** What happens on the machine at its times, by the clock since its start. */
type Events = Readonly<Record<number, (machine: Machine) => void>>;

class Machine {
  readonly files: Record<string, string> = {};
  readonly time = new VirtualTime();
  /** What was run that changes something, with its time. */
  readonly acts: string[] = [];
  readonly lines: string[] = [];
  readonly stop = new AbortController();
  /** How far the clock since the start is ahead of what was waited. */
  sleptMs = 0;
  /** What luksSuspend does beside wiping the key; a test plants its faults here. */
  fault: "none" | "refuses" | "keeps the key" | "does not suspend" = "none";
  canGoOff = true;
  isBroken = false;
  /** lsblk never answers. */
  isStuck = false;

  constructor(names: readonly (keyof typeof UUIDS)[]) {
    names.forEach((name, index) => {
      const block = `/sys/block/dm-${index}`;
      this.files[`${block}/dm/name`] = `${name}\n`;
      this.files[`${block}/dm/uuid`] = `CRYPT-LUKS2-${UUIDS[name]}-${name}\n`;
      this.files[`${block}/dm/suspended`] = "0\n";
      this.files[`${block}/slaves/vd${index}/dev`] = "254:0\n";
    });
    this.files["/proc/self/mountinfo"] = "";
    this.files["/proc/swaps"] = "Filename Type\n";
  }

  heard(...servers: readonly HeardServer[]): void {
    this.files[HEARD] = buildHeardServers(servers).toString();
  }

  get trip(): Trip | null {
    const text = this.files[`${FOLDER}/trip.json`];
    return text === undefined ? null : parseTrip(Buffer.from(text));
  }

  #blockOf(name: string | undefined): string {
    const at = Object.keys(this.files).find((path) => path.endsWith("/dm/name") && this.files[path] === `${name}\n`);
    return at?.slice(0, -"/dm/name".length) ?? "";
  }

  readonly #programs: Programs = (argv) => {
    const [program, order, ...rest] = argv;
    if (program === "findmnt") {
      if (this.isBroken) return { status: 1, stderr: "no" };
      return { stdout: "/dev/mapper/root\n" };
    }
    if (program === "lsblk") {
      const uuid = UUIDS.root.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
      return { stdout: JSON.stringify({ blockdevices: [{ name: "vda", fstype: "crypto_LUKS", uuid }] }) };
    }
    if (program === "dmsetup") {
      const key = this.fault === "keeps the key" ? "5".repeat(128) : ZEROS;
      return { stdout: `0 9 crypt aes-xts-plain64 ${key} 0 254:0 32768\n` };
    }
    this.acts.push(`${Math.floor(this.upMs / 1000)} ${argv.join(" ")}`);
    if (program !== "cryptsetup") {
      if (this.canGoOff) this.stop.abort();
      return { status: this.canGoOff ? 0 : 1 };
    }
    if (order !== "luksSuspend" || this.fault === "refuses") return { status: 1, stderr: "refused" };
    if (this.fault !== "does not suspend") this.files[`${this.#blockOf(rest[0])}/dm/suspended`] = "1\n";
    return {};
  };

  get upMs(): number {
    return this.time.nowMs + this.sleptMs;
  }

  async play(tether: Partial<TetherConfig>, events: Events, untilMs: number): Promise<this> {
    const left = Object.entries(events).map(([at, happens]) => ({ atMs: Number(at), happens }));
    const fake = writableSystem(this.files, this.#programs);
    const system: TetherPower = {
      ...fake,
      run: (command) => (this.isStuck && command.argv[0] === "lsblk" ? new Promise(() => {}) : fake.run(command)),
      upMs: () => this.upMs,
      sleep: async (delayMs, signal) => {
        await this.time.power.sleep(delayMs, signal);
        while (left[0] !== undefined && left[0].atMs <= this.upMs) left.shift()?.happens(this);
        if (this.upMs >= untilMs) this.stop.abort();
      },
    };
    const options = {
      tether: { ...TETHER, ...tether },
      intervalMs: INTERVAL_MS,
      heard: HEARD,
      folder: FOLDER,
      log: (_: string, text: string) => this.lines.push(text),
    };
    await this.time.run(watchTether(system, options, this.stop.signal));
    return this;
  }
}

const fine = (heardMs: number): HeardServer => ({ url: "http://one:7654", heardMs, lockedMs: null, leaseMs: null });
const locked = (heardMs: number, lockedMs = heardMs): HeardServer => ({
  url: "http://one:7654",
  heardMs,
  lockedMs,
  leaseMs: null,
});

test("a lock suspends the data volumes at once, and not what the system runs from, nor what nobody named", async () => {
  const machine = new Machine(["root", "data", "more", "other"]);
  const events: Events = { 1000: (one) => one.heard(fine(1000)), 5000: (one) => one.heard(locked(5000)) };
  await machine.play({}, events, 20_000);
  assert.deepEqual(machine.acts, ["5 cryptsetup luksSuspend data", "5 cryptsetup luksSuspend more"]);
  assert.deepEqual(machine.trip, { atMs: 5000, cause: "locked", suspended: ["data", "more"] });
  assert.deepEqual(machine.lines, [
    "holds data, more",
    "one:7654 has locked this machine: suspending",
    "suspended data, more, and the kernel has no key of them any more. By a passphrase: cryptsetup luksResume data, cryptsetup luksResume more",
  ]);
});

test("a root that is named is not suspended either", async () => {
  const machine = new Machine(["root"]);
  await machine.play({ volumes: ["root"] }, { 1000: (one) => one.heard(locked(1000)) }, 3000);
  assert.deepEqual(machine.acts, []);
  assert.equal(machine.lines.at(-1), "no volume is open that could be suspended");
});

test("silence of all servers suspends after its time, and a server that is heard again in time does not", async () => {
  const machine = new Machine(["data"]);
  const events: Events = { 1000: (one) => one.heard(fine(1000)), [AFTER_MS]: (one) => one.heard(fine(AFTER_MS)) };
  await machine.play({}, events, 50_000);
  assert.deepEqual(machine.acts, ["40 cryptsetup luksSuspend data"]);
  assert.equal(machine.trip?.cause, "gone");
});

test("an hour of sleep is no silence as long as the sender has not had its time, and then it is", async () => {
  const HOUR_MS = 60 * MINUTE_MS;
  const events: Events = {
    1000: (one) => one.heard(fine(1000)),
    2000: (one) => {
      one.sleptMs = HOUR_MS;
    },
  };
  const heardAgain = await new Machine(["data"]).play(
    {},
    { ...events, [HOUR_MS + 12_000]: (one) => one.heard(fine(HOUR_MS + 12_000)) },
    HOUR_MS + 30_000,
  );
  assert.deepEqual(heardAgain.acts, []);
  const silent = await new Machine(["data"]).play({}, events, HOUR_MS + 30_000);
  assert.deepEqual(silent.acts, [`${3602 + 20} cryptsetup luksSuspend data`]);
});

test("a pause keeps silence from counting until it is over", async () => {
  const machine = new Machine(["data"]);
  machine.files[`${FOLDER}/pause.json`] = buildPause(35_000).toString();
  await machine.play({}, { 1000: (one) => one.heard(fine(1000)) }, 40_000);
  assert.deepEqual(machine.acts, ["35 cryptsetup luksSuspend data"]);
});

test("a volume that was resumed stays so under the same lock, and goes with the next one", async () => {
  const machine = new Machine(["data"]);
  const resumed = (one: Machine) => {
    one.files["/sys/block/dm-0/dm/suspended"] = "0\n";
  };
  const events: Events = {
    5000: (one) => one.heard(locked(5000)),
    9000: resumed,
    10000: (one) => one.heard(locked(10_000, 5000)),
    20000: (one) => one.heard(fine(20_000)),
    30000: (one) => one.heard(locked(30_000)),
  };
  await machine.play({}, events, 40_000);
  assert.deepEqual(machine.acts, ["5 cryptsetup luksSuspend data", "30 cryptsetup luksSuspend data"]);
});

test("a tether that is started anew knows what it has done, and does what it has not finished", async () => {
  const machine = new Machine(["data"]);
  machine.heard(locked(0));
  await machine.play({}, {}, 1000);
  const again = new Machine(["data"]);
  Object.assign(again.files, machine.files, { "/sys/block/dm-0/dm/suspended": "0\n" });
  await again.play({}, {}, 1000);
  assert.deepEqual(again.acts, []);
  const unfinished = new Machine(["data"]);
  Object.assign(unfinished.files, machine.files);
  delete unfinished.files[`${FOLDER}/trip.json`];
  await unfinished.play({}, {}, 1000);
  assert.deepEqual(unfinished.acts, [], "it stands still already, and that is proved");
  assert.deepEqual(unfinished.trip?.suspended, ["data"]);
});

for (const fault of ["refuses", "keeps the key", "does not suspend"] as const) {
  test(`where cryptsetup ${fault}, the machine goes off`, async () => {
    const machine = new Machine(["data"]);
    machine.fault = fault;
    await machine.play({}, { 5000: (one) => one.heard(locked(5000)) }, 20_000);
    assert.equal(machine.acts.at(-2), "5 systemctl poweroff --force --force", String(machine.acts));
    assert.match(machine.acts.at(-1) ?? "", /tee \/proc\/sysrq-trigger$/);
  });
}

test("where it is said so the machine goes off, and nothing is suspended before", async () => {
  const machine = new Machine(["data"]);
  await machine.play({ action: "power-off" }, { 5000: (one) => one.heard(locked(5000)) }, 20_000);
  assert.equal(machine.acts[0], "5 systemctl poweroff --force --force");
});

test("where what is open cannot be found out, what was found before is suspended, and without that it goes off", async () => {
  const breaks = (one: Machine) => {
    one.isBroken = true;
    one.files["/proc/self/mountinfo"] = "another mount";
  };
  const known = new Machine(["data"]);
  await known.play({}, { 5000: breaks, 6000: (one) => one.heard(locked(6000)) }, 20_000);
  assert.deepEqual(known.acts, ["6 cryptsetup luksSuspend data"]);
  const unknown = new Machine(["data"]);
  unknown.isBroken = true;
  await unknown.play({}, { 6000: (one) => one.heard(locked(6000)) }, 20_000);
  assert.equal(unknown.acts[0], "6 systemctl poweroff --force --force");
});

test("a machine that does not go off claims nothing, and tries again", async () => {
  const machine = new Machine(["data"]);
  Object.assign(machine, { fault: "keeps the key", canGoOff: false });
  await machine.play({}, { 5000: (one) => one.heard(locked(5000)) }, 8000);
  assert.ok(machine.acts.filter((act) => act.includes("systemctl poweroff")).length > 1, String(machine.acts));
  assert.equal(machine.trip, null);
  assert.ok(!machine.lines.some((line) => line.includes("has no key")), String(machine.lines));
});

test("a machine that is to go off and does not suspends what it can, and tries again", async () => {
  const machine = new Machine(["data"]);
  machine.canGoOff = false;
  await machine.play({ action: "power-off" }, { 5000: (one) => one.heard(locked(5000)) }, 8000);
  assert.equal(machine.acts.filter((act) => act.includes("luksSuspend")).length, 1);
  assert.ok(machine.acts.filter((act) => act.includes("systemctl poweroff")).length > 1, String(machine.acts));
  assert.equal(machine.trip, null);
});

test("a disk that never answers keeps no lock from being heard", async () => {
  const machine = new Machine(["data"]);
  const sticks = (one: Machine) => {
    one.isStuck = true;
    one.files["/proc/self/mountinfo"] = "another mount";
  };
  await machine.play({}, { 4000: sticks, 6000: (one) => one.heard(locked(6000)) }, 30_000);
  assert.equal(machine.acts.length, 1);
  assert.match(machine.acts[0] ?? "", /^\d+ cryptsetup luksSuspend data$/);
});
