/**
 * A machine's network in namespaces of its own: one card, `ens3`, that a router is at the other end
 * of. /run, /conf and /etc/resolv.conf are its own too. What programs do in it is real.
 */
// @ts-nocheck

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readlinkSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { nodeSystem } from "../../src/system/node.ts";
import type { System } from "../../src/system/port.ts";

export const CARD = "ens3";
export const MAC = "52:54:00:12:34:56";
/** Behind the router. */
export const SERVERS = { four: "198.51.100.7", six: "2001:db8:1::7" };

/** False where such a room can be made here. */
export const noNetworkRoom =
  spawnSync("unshare", ["--net", "--mount", "ip", "link", "set", "dev", "lo", "up"]).status === 0
    ? false
    : "no network namespace can be made here";

const OWN = `
set -e
mount -t sysfs own /sys
for folder in /run /conf; do mkdir -p $folder; mount -t tmpfs own $folder; done
touch /run/resolv.conf
mount --bind /run/resolv.conf "$(readlink -f /etc/resolv.conf)"
`;

/** What has to be there once for a test, and leaves nothing behind. */
export class NetworkRoom implements AsyncDisposable {
  readonly #machine: ChildProcess;
  readonly #router: ChildProcess;
  readonly #started: ChildProcess[] = [];

  private constructor() {
    this.#machine = hold();
    this.#router = hold();
  }

  /** @param router shell lines that give the router its addresses */
  static async open(router: string): Promise<NetworkRoom> {
    const room = new NetworkRoom();
    try {
      await Promise.all([room.#machine, room.#router].map(isApart));
      room.sh(
        `${OWN}ip link set lo up; ip link add ${CARD} address ${MAC} type veth peer name port netns ${room.#router.pid}`,
      );
      enter(
        room.#router,
        `set -e; ip link set lo up; ip link set port up
        echo 0 > /proc/sys/net/ipv6/conf/port/accept_dad
        ip addr add ${SERVERS.four}/32 dev lo; ip addr add ${SERVERS.six}/128 dev lo nodad\n${router}`,
      );
      return room;
    } catch (error) {
      await room[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs shell lines on the machine, which have to succeed; gives what they print. */
  sh(script: string): string {
    return enter(this.#machine, script);
  }

  /** Starts a program that runs on, on the machine or its router, until the room is closed. */
  start(where: "machine" | "router", ...argv: readonly string[]): void {
    const { pid } = where === "machine" ? this.#machine : this.#router;
    this.#started.push(spawn("nsenter", ["-t", String(pid), "-n", "-m", ...argv], { stdio: "ignore" }));
  }

  /** The system, whose programs see the room's network. To it the veth is a card. */
  get system(): Pick<System, "run" | "readFile"> {
    const { pid } = this.#machine;
    return {
      run: async (command) => {
        const exit = await nodeSystem.run({
          ...command,
          argv: ["nsenter", "-t", String(pid), "-n", "-m", ...command.argv],
        });
        const text = exit.stdout.toString("utf8").replaceAll('"info_kind":"veth"', "");
        return { ...exit, stdout: Buffer.from(text) };
      },
      readFile: (path, limitBytes) => nodeSystem.readFile(`/proc/${pid}/root${path}`, limitBytes),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of [...this.#started, this.#machine, this.#router]) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((done) => child.once("exit", done));
      child.kill("SIGKILL");
      await ended;
    }
  }
}

const hold = (): ChildProcess => spawn("unshare", ["--net", "--mount", "sleep", "infinity"], { stdio: "ignore" });

/** Until the process is in its own namespaces. */
async function isApart({ pid }: ChildProcess): Promise<void> {
  for (;;) {
    const [own, others] = ["mnt", "net"].map(
      (kind) => readlinkSync(`/proc/${pid}/ns/${kind}`) !== readlinkSync(`/proc/self/ns/${kind}`),
    );
    if (own && others) return;
    await pause(10);
  }
}

function enter({ pid }: ChildProcess, script: string): string {
  const argv = ["-t", String(pid), "-n", "-m", "bash", "-c", script];
  // What a shell of the user's reads at its start is none of the room's.
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" };
  const { status, stdout, stderr } = spawnSync("nsenter", argv, { encoding: "utf8", env });
  assert.equal(status, 0, `${script}: ${stderr}`);
  return stdout;
}
