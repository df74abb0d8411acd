/** Who takes part: a volume bound to a real tangd, one bound to our own server, and the agent in its several states. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fetchKey } from "../../script/key-client.ts";
import { makeFolder, makeVolume, PASSPHRASE } from "../../test/interop/volumes.ts";

export const ROOT = resolve(import.meta.dirname, "../..");
const BUNDLE = join(ROOT, "build/nightlatch/lib");

export const folder = makeFolder();
const passphraseFile = join(folder, "passphrase");
const crypttab = join(folder, "crypttab");

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
  const state = ["--state", join(folder, "state")];
  must([...nightlatch, "bind", latch, "latch", "-", "--key-file", passphraseFile, ...state], invite);
  writeFileSync(crypttab, `tang ${tang} - luks\nlatch ${latch} - luks\n`);
  return { tang, latch };
}

const nightlatch = [process.execPath, join(BUNDLE, "nightlatch.mjs")];
const agentOptions = [
  "--crypttab",
  crypttab,
  "--config",
  join(folder, "absent.toml"),
  "--state",
  join(folder, "state"),
];

/** The agent as the package's unit starts it, and as a checkout does. */
export const AGENTS = {
  packaged: [process.execPath, "--min-semi-space-size=4", join(BUNDLE, "agent.cjs"), ...agentOptions],
  checkout: [process.execPath, join(ROOT, "src/main.ts"), "agent", ...agentOptions],
} as const;

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

/** From the connection to the key, the agent being started by the connection, as systemd does it. */
export async function coldKey(agent: readonly string[], volume: string): Promise<number> {
  const socket = join(folder, `cold-${sequence++}.sock`);
  const child = spawn("systemd-socket-activate", ["-l", socket, ...agent], { stdio: ["ignore", "ignore", "pipe"] });
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
  const child = spawn("systemd-socket-activate", ["-l", socket, ...AGENTS.packaged, "--idle", "3600"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
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
