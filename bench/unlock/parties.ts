/**
 * Who takes part: a volume for each pin, bound to a real tangd, our own server, a software TPM and
 * a software card; and the agent in its several states.
 */
import { type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { agentNodeFlags } from "../../script/agent-unit.ts";
import { fetchKey } from "../../script/key-client.ts";
import { Secret } from "../../src/core/secret.ts";
import { parsePkcs11Uri } from "../../src/formats/pkcs11/uri.ts";
import { prepareCard } from "../../src/pins/pkcs11/seal.ts";
import { clevisToken } from "../../test/support/clevis-token.ts";
import { makeSoftHsm, SOFTHSM } from "../../test/support/soft-hsm.ts";
import type { Swtpm } from "../../test/support/tpm/swtpm.ts";
import { addSlot, addToken, makeFolder, makeVolume, PASSPHRASE } from "../../test/support/volumes.ts";
import { type Cost, childrensCpuMs, costOf, processCpuMs } from "./cost.ts";

export const ROOT = resolve(import.meta.dirname, "../..");
const BUNDLE = join(ROOT, "build/nightlatch/lib");

export const folder = makeFolder();
const passphraseFile = join(folder, "passphrase");
/** Laid over the machine's own folders where the agent runs. */
const root = join(folder, "root");
const state = join(root, "var/lib/nightlatch/machine");
const credentials = join(folder, "credentials");

export const PIN_NAMES = ["tang", "latch", "tpm2", "sss", "pkcs11"] as const;
export type PinName = (typeof PIN_NAMES)[number];

export function must(argv: readonly string[], input = ""): string {
  const [program = "", ...args] = argv;
  const { status, stdout, stderr } = spawnSync(program, args, { input, encoding: "utf8" });
  if (status !== 0) throw new Error(`${argv.join(" ")}: ${status} ${stderr}`);
  return stdout;
}

const CARD_PIN = "1234";

/**
 * A volume for each pin, with one keyslot beside the passphrase's, number 1. An sss is of two
 * shares, both of which it takes: tang and tpm2.
 */
export async function makeVolumes(tangUrl: string, invite: string): Promise<Readonly<Record<PinName, string>>> {
  writeFileSync(passphraseFile, PASSPHRASE);
  for (const place of ["var/lib/nightlatch", "etc/nightlatch", "etc/softhsm"]) {
    mkdirSync(join(root, place), { recursive: true });
  }
  const made = Object.fromEntries(PIN_NAMES.map((name) => [name, makeVolume(folder, `${name}.img`, "luks2")]));
  const volumes = made as Readonly<Record<PinName, string>>;
  const [tang, tpm2] = [{ url: tangUrl }, { pcr_bank: "sha256", pcr_ids: "7" }];
  bindByClevis(volumes.tang, "tang", tang);
  bindByClevis(volumes.tpm2, "tpm2", tpm2);
  bindByClevis(volumes.sss, "sss", { t: 2, pins: { tang: [tang], tpm2: [tpm2] } });
  must([...nightlatch, "bind", volumes.latch, "latch", "-", "--key-file", passphraseFile, "--state", state], invite);
  await bindToCard(volumes.pkcs11);
  writeFileSync(join(root, "etc/crypttab"), PIN_NAMES.map((name) => `${name} ${volumes[name]} - luks\n`).join(""));
  return volumes;
}

function bindByClevis(image: string, pin: string, configuration: unknown): void {
  must(["clevis", "luks", "bind", "-y", "-k", passphraseFile, "-d", image, pin, JSON.stringify(configuration)]);
}

/** SoftHSM finds its tokens by its configuration in /etc, and the agent the PIN by a credential. */
async function bindToCard(image: string): Promise<void> {
  const hsm = makeSoftHsm(join(folder, "hsm"));
  hsm.makeToken("ops", CARD_PIN);
  hsm.makeKey("ops", CARD_PIN, "rsa:2048", "disk", "01");
  must(["cp", String(hsm.environment["SOFTHSM2_CONF"]), join(root, "etc/softhsm/softhsm2.conf")]);
  mkdirSync(credentials, { mode: 0o700 });
  writeFileSync(join(credentials, "nightlatch.pkcs11-pin"), CARD_PIN, { mode: 0o600 });
  const power = { ...hsm.system, askPin: async () => Secret.copy(Buffer.from(CARD_PIN)) };
  const uri = parsePkcs11Uri(`pkcs11:token=ops;object=disk?module-path=${SOFTHSM}`);
  const seal = await prepareCard(power, uri, { timeoutMs: 60_000 });
  const key = "a key of the length that all others have";
  addSlot(image, key);
  addToken(image, clevisToken(seal(Buffer.from(key)), 1));
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
  const environment = ["-E", "TPM2TOOLS_TCTI", "-E", `CREDENTIALS_DIRECTORY=${credentials}`];
  const activator = ["systemd-socket-activate", ...environment, "-l", socket, ...agent];
  const argv = ["--mount", "sh", "-c", NAMESPACE, root, ...activator];
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
 * From the connection to the key, the agent being started by the connection, as systemd does it:
 * the process that listened becomes the agent.
 */
export async function coldKey(agent: readonly string[], volume: string, chip: Swtpm): Promise<Cost> {
  const socket = join(folder, `cold-${sequence++}.sock`);
  const child = activate(socket, agent);
  await once(createInterface(child.stderr), "line"); // it listens
  const cost = await costOfKey(child.pid, { socket, volume }, chip);
  child.kill();
  await once(child, "exit");
  rmSync(socket);
  return cost;
}

export interface WarmAgent extends AsyncDisposable {
  ask(volume: string): Promise<Cost>;
}

export async function startWarmAgent(chip: Swtpm): Promise<WarmAgent> {
  const socket = join(folder, "warm.sock");
  const child = activate(socket, [...AGENTS.packaged, "--idle", "3600"]);
  await once(createInterface(child.stderr), "line");
  return {
    ask: (volume) => costOfKey(child.pid, { socket, volume }, chip),
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await once(child, "exit");
    },
  };
}

/** The client's own part, well below a millisecond, is in the wall's time and in no other. */
function costOfKey(
  pid = 0,
  question: { readonly socket: string; readonly volume: string },
  chip: Swtpm,
): Promise<Cost> {
  const turn = async () => {
    const key = await fetchKey(question);
    if (key.length < 40) throw new Error(`no key for ${question.volume}`);
  };
  return costOf(turn, () => processCpuMs(pid), chip.pid);
}

/** From start to exit, with all programs that it starts. */
export async function costOfProgram(argv: readonly string[], chip: Swtpm): Promise<Cost> {
  const [program = "", ...args] = argv;
  const turn = async () => {
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] });
    const [status] = await once(child, "exit");
    if (status !== 0) throw new Error(`${argv.join(" ")}: ${status}`);
  };
  const cost = await costOf(turn, childrensCpuMs, chip.pid);
  if (program === "clevis") chip.flush(); // it leaves sessions in a chip that no kernel manages
  return cost;
}
