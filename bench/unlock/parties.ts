/**
 * Who takes part: a volume bound to a real tangd, one bound to our own server, and the agent in its
 * several states.
 */
import { type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { agentNodeFlags } from "../../script/agent-unit.ts";
import { fetchKey } from "../../script/key-client.ts";
import { makeFolder, makeVolume, PASSPHRASE } from "../../test/support/volumes.ts";

export const ROOT = resolve(import.meta.dirname, "../..");
const BUNDLE = join(ROOT, "build/nightlatch/lib");

export const folder = makeFolder();
const passphraseFile = join(folder, "passphrase");
/** Laid over the machine's own folders where the agent runs. */
const root = join(folder, "root");
const state = join(root, "var/lib/nightlatch/machine");

/** How long it took, and that it was the key. */
export type Probe = () => Promise<number>;

export function must(argv: readonly string[], input = ""): string {
  const [program = "", ...args] = argv;
  const { status, stdout, stderr } = spawnSync(program, args, { input, encoding: "utf8" });
  if (status !== 0) throw new Error(`${argv.join(" ")}: ${status} ${stderr}`);
  return stdout;
}

/** Volumes `tang` and `latch`, each with one keyslot beside the passphrase's, number 1. */
export function makeVolumes(tangUrl: string, invite: string): Readonly<Record<"tang" | "latch", string>> {
  writeFileSync(passphraseFile, PASSPHRASE);
  const tang = makeVolume(folder, "tang.img", "luks2");
  const latch = makeVolume(folder, "latch.img", "luks2");
  must(["clevis", "luks", "bind", "-y", "-k", passphraseFile, "-d", tang, "tang", JSON.stringify({ url: tangUrl })]);
  mkdirSync(join(root, "var/lib/nightlatch"), { recursive: true });
  must([...nightlatch, "bind", latch, "latch", "-", "--key-file", passphraseFile, "--state", state], invite);
  mkdirSync(join(root, "etc/nightlatch"), { recursive: true });
  writeFileSync(join(root, "etc/crypttab"), `tang ${tang} - luks\nlatch ${latch} - luks\n`);
  return { tang, latch };
}

const nightlatch = [process.execPath, join(BUNDLE, "nightlatch.mjs")];

/** The agent as the package's unit starts it, without options, and as a checkout does. */
export const AGENTS = {
  packaged: [process.execPath, ...agentNodeFlags(), join(BUNDLE, "agent.cjs")],
  checkout: [process.execPath, join(ROOT, "src/main.ts"), "agent"],
} as const;

/**
 * In a mount namespace of its own, so that the agent finds the bench's crypttab and state at their
 * usual places, as the unit has it, and no agent.toml. What is mounted is gone with the process;
 * the overlays have no upper half, so nothing of the machine can be changed.
 */
const NAMESPACE = `
  mount -t overlay overlay -o "lowerdir=$0/etc:/etc" /etc &&
  mount -t overlay overlay -o "lowerdir=$0/var/lib:/var/lib" /var/lib &&
  mount --bind "$0/etc/nightlatch" /etc/nightlatch &&
  mount --bind "$0/var/lib/nightlatch" /var/lib/nightlatch &&
  exec "$@"`;

function activate(socket: string, agent: readonly string[]): ChildProcessByStdio<null, null, Readable> {
  const argv = ["--mount", "sh", "-c", NAMESPACE, root, "systemd-socket-activate", "-l", socket, ...agent];
  return spawn("unshare", argv, { stdio: ["ignore", "ignore", "pipe"] });
}

export interface OurServer extends AsyncDisposable {
  readonly invite: string;
}

export async function startOurServer(): Promise<OurServer> {
  const admin = join(folder, "admin.sock");
  const options = ["--data", join(folder, "server"), "--listen", "127.0.0.1:0", "--admin", admin, "--json"];
  const child = spawn(process.execPath, [join(BUNDLE, "nightlatch.mjs"), "serve", ...options], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(createInterface(child.stdout), "line");
  const invite = JSON.parse(must([...nightlatch, "machine", "invite", "bench", "--admin", admin, "--json"])).invite;
  return {
    invite,
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await once(child, "exit");
    },
  };
}

let sequence = 0;

/**
 * From the connection to the key, the agent being started by the connection, as systemd does it.
 */
export async function coldKey(agent: readonly string[], volume: string): Promise<number> {
  const socket = join(folder, `cold-${sequence++}.sock`);
  const child = activate(socket, agent);
  await once(createInterface(child.stderr), "line"); // it listens
  const tookMs = await ask(socket, volume);
  child.kill();
  await once(child, "exit");
  rmSync(socket);
  return tookMs;
}

export interface WarmAgent extends AsyncDisposable {
  ask(volume: string): Promise<number>;
}

export async function startWarmAgent(): Promise<WarmAgent> {
  const socket = join(folder, "warm.sock");
  const child = activate(socket, [...AGENTS.packaged, "--idle", "3600"]);
  await once(createInterface(child.stderr), "line");
  return {
    ask: (volume) => ask(socket, volume),
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await once(child, "exit");
    },
  };
}

async function ask(socket: string, volume: string): Promise<number> {
  const startMs = performance.now();
  const key = await fetchKey({ socket, volume });
  const tookMs = performance.now() - startMs;
  if (key.length < 40) throw new Error(`no key for ${volume}`);
  return tookMs;
}

/** From start to exit. */
export async function timeProgram(argv: readonly string[]): Promise<number> {
  const [program = "", ...args] = argv;
  const startMs = performance.now();
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] });
  const [status] = await once(child, "exit");
  if (status !== 0) throw new Error(`${argv.join(" ")}: ${status}`);
  return performance.now() - startMs;
}
