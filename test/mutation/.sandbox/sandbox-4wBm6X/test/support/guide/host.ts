/**
 * A host of a guide's: this machine with an /etc, a /var/lib, a /run and a /dev of its own, in a
 * mount namespace that ends with it. The commands are a person's, typed at a terminal. Real are
 * `nightlatch`, cryptsetup and every other program; systemctl is played, for no systemd runs here.
 */
// @ts-nocheck

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fetchKey } from "../../../script/key-client.ts";
import { AGENT_SOCKET } from "../../../src/core/places.ts";
import { runTool } from "../volumes.ts";

const COMMAND = resolve(import.meta.dirname, "../../../bin/nightlatch");
/** Behind $0, the folder of the host's. Its overlays' upper halves lie in memory. */
const SETUP = `
set -e
mount -t tmpfs -o mode=0755 layers "$0/layers"
for name in etc var/lib; do
  mkdir -p "$0/layers/$name/upper" "$0/layers/$name/work"
  mount -t overlay overlay -o "lowerdir=$0/$name:/$name,upperdir=$0/layers/$name/upper,workdir=$0/layers/$name/work" "/$name"
done
mount -t overlay overlay -o "lowerdir=$0/bin:/usr/bin" /usr/bin
mount -t tmpfs -o mode=0755 dev "$0/dev"
for node in null zero full random urandom tty; do
  : > "$0/dev/$node"
  mount --bind "/dev/$node" "$0/dev/$node"
done
mkdir "$0/dev/pts" "$0/dev/shm" "$0/dev/disk" "$0/dev/disk/by-uuid"
mount --bind /dev/pts "$0/dev/pts"
ln -s pts/ptmx "$0/dev/ptmx"
ln -s /proc/self/fd "$0/dev/fd"
ln -s /proc/self/fd/0 "$0/dev/stdin"
if [ -e "$0/disk" ]; then
  : > "$0/dev/vdb"
  mount --bind "$0/disk" "$0/dev/vdb"
  ln -s ../../vdb "$0/dev/disk/by-uuid/$(cryptsetup luksUUID "$0/disk")"
fi
mount --move "$0/dev" /dev
mount --bind "$0/run" /run
echo ready
exec cat`;

/** As the package leaves a machine: the agent's socket is enabled, and nothing fails. */
const SYSTEMCTL = `#!/bin/sh
case "$*" in
*show*nightlatch-agent.socket*)
  printf 'LoadState=loaded\\nUnitFileState=enabled\\nActiveState=active\\n' ;;
*show*nightlatch-clean-up.timer*) printf 'enabled\\n\\nenabled\\n\\nenabled\\n' ;;
*show*) printf 'UnitFileState=disabled\\n' ;;
esac
`;

/** Prompts for what no program shows. */
const SECRET = /PIN|passphrase/i;

/** Why no host can be made here, for a test's `skip`; false where one can. */
export const noHosts: string | false =
  process.geteuid?.() !== 0
    ? "a mount namespace needs root"
    : (["cryptsetup", "script", "systemd-socket-activate", "nsenter"].find(
        (program) => spawnSync(program, ["--version"]).error !== undefined,
      ) ?? false);

/** The words that a printed invite fills in. */
export function inviteOn(screen: string): Readonly<Record<string, string>> {
  return { INVITE: /^nli1\.\S+$/m.exec(screen)?.[0] ?? assert.fail(screen) };
}

/** What a person takes from the screen of `nightlatch crypttab`. */
export function crypttabLines(screen: string): Readonly<Record<"crypttab" | "fstab", string>> {
  const [, crypttab, fstab] = /# \/etc\/crypttab\n(.*\n)# \/etc\/fstab\n(.*\n)/.exec(screen) ?? [];
  if (crypttab === undefined || fstab === undefined) assert.fail(screen);
  return { crypttab, fstab };
}

/** What is typed, each once its prompt is on the screen. */
export type Typed = readonly (readonly [prompt: RegExp, answer: string | ((screen: string) => string)])[];

export interface Seen {
  readonly status: number | null;
  /** What the terminal showed. */
  readonly screen: string;
}

/** Shared by the hosts of a test: a network with nothing but them. */
export interface Network extends AsyncDisposable {
  readonly pid: number;
}

export async function makeNetwork(): Promise<Network> {
  const holder = await start(["unshare", "--net", "sh", "-c", "ip link set lo up && echo ready && exec cat"]);
  return { pid: holder.pid ?? 0, [Symbol.asyncDispose]: () => end(holder) };
}

export class Host implements AsyncDisposable {
  readonly name: string;
  readonly #folder: string;
  readonly #holder: ChildProcess;
  #agent: ChildProcess | null = null;

  private constructor(name: string, folder: string, holder: ChildProcess) {
    this.name = name;
    this.#folder = folder;
    this.#holder = holder;
  }

  /**
   * @param folder where there may be a `disk`, which is its /dev/vdb, and files of its /etc and
   *   /var/lib
   */
  static async start(name: string, folder: string, network: Network): Promise<Host> {
    for (const part of ["etc", "var/lib", "layers", "bin", "dev", "run/systemd/system", "run/nightlatch"])
      mkdirSync(join(folder, part), { recursive: true });
    chmodSync(join(folder, "run/nightlatch"), 0o700);
    const program = (named: string, text: string) => writeFileSync(join(folder, "bin", named), text, { mode: 0o755 });
    program("systemctl", SYSTEMCTL);
    program("systemd-analyze", "#!/bin/sh\n");
    program("nightlatch", `#!/bin/sh\nexec ${COMMAND} "$@"\n`);
    const enter = ["nsenter", "--net", `--target=${network.pid}`];
    const holder = await start([...enter, "unshare", "--mount", "sh", "-c", SETUP, folder]);
    const host = new Host(name, folder, holder);
    if (existsSync(join(folder, "disk"))) await host.#listen();
    return host;
  }

  /** What a program is started through, to be on this host. */
  get through(): readonly [string, ...string[]] {
    return ["nsenter", `--target=${this.#holder.pid}`, "--mount", "--net"];
  }

  /** Types a command at a terminal, and then what it asks for. */
  async run(command: string, { typed = [] }: { readonly typed?: Typed } = {}): Promise<Seen> {
    const line = `export NO_COLOR=1 PATH=/usr/sbin:/usr/bin:/sbin:/bin; ${command}`;
    const [program, ...args] = [...this.through, "script", "-qec", line, "/dev/null"];
    const child = spawn(program, args, {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, SHELL: "/bin/bash" },
    });
    const left = [...typed];
    let screen = "";
    let from = 0;
    let typing = Promise.resolve();
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      screen += text.replaceAll("\r", "");
      const [next] = left;
      if (next === undefined) return;
      const found = next[0].exec(screen.slice(from));
      if (found === null) return;
      left.shift();
      from += found.index + found[0].length;
      const answer = typeof next[1] === "string" ? next[1] : next[1](screen);
      const secret = SECRET.test(found[0]);
      typing = typing.then(async () => {
        if (secret) await hidden(child);
        child.stdin.write(`${answer}\r`);
      });
    });
    child.stdin.on("error", () => {});
    let late = false;
    const deadline = setTimeout(() => {
      late = true;
      child.kill();
    }, 300_000);
    const [status] = await once(child, "close");
    clearTimeout(deadline);
    if (late) throw new Error(`${command} did not end: ${screen}`);
    if (left.length > 0) throw new Error(`${command} did not ask for ${left[0]?.[0]}: ${screen}`);
    return { status, screen };
  }

  /** A file of the host's, as it is now. */
  read(path: string): string {
    return runTool([...this.through, "cat", path]).toString();
  }

  append(path: string, text: string): void {
    runTool([...this.through, "sh", "-c", `cat >> ${path}`], text);
  }

  /** The key server of this host, as its unit has it, without options. */
  async serve(): Promise<AsyncDisposable> {
    const [program, ...args] = [...this.through, "/usr/bin/nightlatch", "serve", "--json"];
    const server = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
    await once(createInterface(server.stdout), "line");
    return { [Symbol.asyncDispose]: () => end(server, true) };
  }

  /**
   * A boot, as far as the agent has a part in it: it is started by the first connection to its
   * socket, and asked as systemd-cryptsetup asks.
   * @param environment what systemd hands on to the agent's unit
   * @returns the key, empty where it was refused
   */
  async boot(volume: string, environment: Readonly<Record<string, string>> = {}): Promise<Buffer> {
    await this.#listen(environment);
    return await fetchKey({ socket: join(this.#folder, AGENT_SOCKET), volume });
  }

  /** The agent's socket, as its unit makes it. */
  async #listen(environment: Readonly<Record<string, string>> = {}): Promise<void> {
    if (this.#agent !== null) await end(this.#agent, true);
    rmSync(join(this.#folder, AGENT_SOCKET), { force: true });
    const passed = ["PATH", ...Object.keys(environment)].flatMap((name) => ["-E", name]);
    const agent = ["systemd-socket-activate", ...passed, "-l", AGENT_SOCKET, "/usr/bin/nightlatch", "agent"];
    const [program, ...args] = [...this.through, ...agent];
    const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...environment };
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"], env });
    this.#agent = child;
    await once(createInterface(child.stderr), "line");
    chmodSync(join(this.#folder, AGENT_SOCKET), 0o600);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#agent !== null) await end(this.#agent, true);
    await end(this.#holder);
  }
}

/**
 * Waits until the terminal that `script` made shows nothing of what is typed. A program that asks
 * before it turns that off throws away what was typed until then (tcsetattr with TCSAFLUSH, as
 * pkcs11-tool has it).
 */
async function hidden(script: ChildProcess): Promise<void> {
  const inside = readFileSync(`/proc/${script.pid}/task/${script.pid}/children`, "utf8").trim().split(" ")[0];
  const settings = () => spawnSync("stty", ["-a", "-F", `/proc/${inside}/fd/0`], { encoding: "utf8" }).stdout;
  while (script.exitCode === null && script.signalCode === null && !/ -echo /.test(settings())) await delay(5);
}

/** Starts what says that it is ready and then holds on until its input ends. */
async function start(argv: readonly string[]): Promise<ChildProcess> {
  const child = spawn(argv[0] ?? "", argv.slice(1), { stdio: ["pipe", "pipe", "pipe"] });
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const ended = once(child, "exit").then(([status]) => {
    throw new Error(`${argv.slice(0, 4).join(" ")} ended with ${status}: ${said}`);
  });
  await Promise.race([once(createInterface(child.stdout as NonNullable<typeof child.stdout>), "line"), ended]);
  ended.catch(() => {});
  return child;
}

async function end(child: ChildProcess, byForce = false): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  if (byForce) child.kill();
  else child.stdin?.end();
  await ended;
}
