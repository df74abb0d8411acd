/**
 * A machine of files, for what `nightlatch check` advises: real volumes, bindings, servers and
 * commands; systemd, apt and what makes an initramfs are played, by what they do to the files. A
 * remedy is applied to the letter: a line of a file is replaced, a command is run by bash with the
 * machine's own /etc in the place of this one's.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { dirname, join } from "node:path";
import type { Finding, FindingCode } from "../../src/check/judge/finding.ts";
import { command as check } from "../../src/cli/commands/check.ts";
import { command as status } from "../../src/cli/commands/status.ts";
import { HEARD_FILE } from "../../src/core/places.ts";
import type { System } from "../../src/system/port.ts";
import { device, folder, initramfs, PASSPHRASE, plugCard, type World, world } from "./reboot/world.ts";
import { COMMAND, type Served } from "./serve.ts";
import { runCommand } from "./terminal.ts";

export const AGENT = "/run/nightlatch/agent.sock";
export const STATE = "/var/lib/nightlatch/machine";
export const CRYPTTAB = "/etc/crypttab";
export const FSTAB = "/etc/fstab";
export const CONFIG = "/etc/nightlatch/agent.toml";
/** What the user wrote and no remedy may lose. */
export const OWN = "discard,x-own=1";

/** What clevis-initramfs 19's hook copies, beside cryptsetup. */
export const CLEVIS = [
  ...["clevis", "clevis-luks-list", "clevis-decrypt", "clevis-decrypt-tang", "jose", "curl", "bash"].map(
    (name) => `usr/bin/${name}`,
  ),
  "scripts/local-top/clevis",
];
/** What our own hook puts beside it. */
const DEADLINE = ["etc/nightlatch/.curlrc", "conf/conf.d/nightlatch"];

const dataLine = () => `data ${device("data")} ${AGENT} luks,${OWN},_netdev,nofail`;
const rootLine = () => `cryptroot ${device("root")} none luks,${OWN},initramfs`;
const DATA_MOUNT = "/dev/mapper/data /srv ext4 noatime,_netdev,nofail 0 2";
const ROOT_MOUNT = "/dev/mapper/cryptroot / ext4 errors=remount-ro 0 1";

/** What `recovery add` printed, where a remedy said to run it. */
export const RECOVERY = join(folder, "recovery");

export class CheckMachine {
  readonly #world: World;
  readonly server: Served;
  #socket: Server | null = null;
  /** UnitFileState by unit. */
  readonly units = new Map([
    ["nightlatch-agent.socket", "enabled"],
    ["remote-cryptsetup.target", "enabled"],
  ]);
  agentLoads = "loaded";
  agentActive = "active";
  /** A socket unit that somebody made, and its service. */
  responder: { readonly before: string; readonly after: string } | null = null;
  cycle = "";
  hasClevis = true;
  /** The initramfs was made while our hook was there. */
  hasDeadline = true;

  constructor(server: Served) {
    this.server = server;
    const play = (argv: readonly string[]) => this.#play(argv);
    this.#world = world({ crypttab: "", programs: play, files: { "/etc/os-release": "ID=debian\n", ...NETWORK } });
    this.write(CRYPTTAB, `# by hand\n${rootLine()}\n${dataLine()}\n`);
    this.write(FSTAB, `${ROOT_MOUNT}\n${DATA_MOUNT}\n`);
    this.write(CONFIG, "");
    for (const path of [STATE, "/run/systemd/system", "/etc/systemd/system", "/run/nightlatch"])
      mkdirSync(this.at(path), { recursive: true, mode: 0o700 });
    this.rebuild();
  }

  get system(): System {
    const { system } = this.#world;
    const run: System["run"] = async (command) => {
      const exit = await system.run(command);
      return command.argv[0] === "systemd-analyze" ? { ...exit, stderr: Buffer.from(this.cycle) } : exit;
    };
    return { ...system, run };
  }

  at(path: string): string {
    return this.#world.at(path);
  }

  read(path: string): string {
    return readFileSync(this.at(path), "utf8");
  }

  write(path: string, text: string | Buffer): void {
    mkdirSync(dirname(this.at(path)), { recursive: true });
    writeFileSync(this.at(path), text);
    chmodSync(this.at(path), 0o644);
  }

  /** As an editor would. */
  edit(path: string, change: (text: string) => string): void {
    const before = this.read(path);
    const after = change(before);
    assert.notEqual(after, before, `nothing changes in ${path}`);
    this.write(path, after);
  }

  async listen(mode = 0o600): Promise<void> {
    await this.close();
    const server = createServer();
    this.#socket = server;
    await new Promise<void>((done) => server.listen(this.at(AGENT), done));
    chmodSync(this.at(AGENT), mode);
  }

  async close(): Promise<void> {
    const server = this.#socket;
    this.#socket = null;
    if (server !== null) await new Promise((done) => server.close(done));
    rmSync(this.at(AGENT), { force: true });
  }

  /** The card that has a signal, of a driver that is a module. */
  plugCard(driver: string): void {
    plugCard(this.#world, "eth0", driver);
    this.write("/sys/class/net/eth0/operstate", "up\n");
  }

  /**
   * What update-initramfs does: what crypttab marks is in it, but for a volume whose key is no file
   * that it can copy.
   */
  rebuild(): void {
    const marked = this.read(CRYPTTAB)
      .split("\n")
      .map((line) => line.split(/\s+/))
      .filter(([, , key, options]) => key === "none" && options?.split(",").includes("initramfs") === true);
    const inside = marked.map((fields) => `${fields.slice(0, 4).join(" ")}\n`).join("");
    const hook = existsSync(this.at(DRIVER_HOOK)) ? this.read(DRIVER_HOOK) : "";
    const modules = [...hook.matchAll(/^force_load (\S+)$/gm)].map(([, name]) => name);
    const files = [
      ...(this.hasClevis ? CLEVIS : []),
      ...(this.hasDeadline ? DEADLINE : []),
      ...modules.map((name) => `usr/lib/modules/6.1.0/kernel/drivers/net/${name}.ko`),
    ];
    this.write("/boot/initrd", initramfs(inside, ...files));
  }

  async check(): Promise<Finding[]> {
    const { result, lines } = await runCommand(check, [], this.system);
    const findings = result["findings"] as Finding[];
    // What a person sees is what a program is told.
    for (const { remedy } of findings)
      for (const step of remedy.split("\n"))
        assert.ok(
          lines.some((line) => line.includes(`→ ${step}`)),
          step,
        );
    return findings;
  }

  async outlook(name: string): Promise<{ will: string; stage: string; text: string }> {
    const { result } = await runCommand(status, [], this.system);
    const volumes = result["volumes"] as { name: string; nextBoot: { will: string; stage: string; text: string } }[];
    const found = volumes.find((volume) => volume.name === name);
    assert.ok(found !== undefined);
    return found.nextBoot;
  }

  /**
   * Replaces the line; runs the command.
   * @returns false where a step is for a person to understand
   */
  apply(step: string, stdin = ""): boolean {
    const [, line, path, text] = /^line (\d+) of (\S+): (.*)$/.exec(step) ?? [];
    if (line !== undefined && path !== undefined && text !== undefined) {
      const lines = this.read(path).split("\n");
      this.write(path, lines.with(Number(line) - 1, text).join("\n"));
      return true;
    }
    const command =
      /^(?:[a-z][^:]*: )?((?:chmod|chown|systemctl|nightlatch|cryptsetup|clevis|curl|mkdir|mv|echo|printf|update-initramfs|apt-get) .*)$/.exec(
        step,
      )?.[1];
    if (command === undefined) return false;
    this.#bash(command, stdin);
    return true;
  }

  #bash(command: string, stdin: string): void {
    const tools = join(folder, "tools");
    const log = join(folder, "played");
    mkdirSync(tools, { recursive: true });
    writeFileSync(log, "");
    for (const name of ["systemctl", "apt-get", "update-initramfs"])
      writeFileSync(join(tools, name), `#!/bin/sh\necho "${name} $*" >>${log}\n`, { mode: 0o755 });
    const asks = '[ "$1" = bind ] || [ "$1" = unbind ]';
    const prints = `if [ "$1 $2" = "recovery add" ]; then exec ${COMMAND} "$@" --print >${RECOVERY}; fi`;
    const pass = join(folder, "passphrase");
    writeFileSync(pass, PASSPHRASE);
    writeFileSync(
      join(tools, "nightlatch"),
      `#!/bin/sh\nif ${asks}; then exec ${COMMAND} "$@" --key-file ${pass}; fi\n${prints}\nexec ${COMMAND} "$@"\n`,
      { mode: 0o755 },
    );
    copyFileSync("/etc/passwd", this.at("/etc/passwd"));
    copyFileSync("/etc/group", this.at("/etc/group"));
    mkdirSync(this.at("/etc/initramfs-tools/hooks"), { recursive: true });
    const mounts = `mkdir -p ${STATE} && mount --bind ${this.at(STATE)} ${STATE} && mount --bind ${this.at("/etc")} /etc`;
    const script = `${mounts} && export PATH=${tools}:$PATH && exec bash -c "$1"`;
    const argv = ["--mount", "bash", "-c", script, "bash", command];
    const { status, stderr } = spawnSync("unshare", argv, { input: stdin, encoding: "utf8" });
    // curl and the like look, and are answered or not.
    if (!/^(?:curl|clevis|systemctl status) /.test(command)) assert.equal(status, 0, `${command}: ${stderr}`);
    for (const said of readFileSync(log, "utf8").split("\n")) this.#played(said);
  }

  /** What the programs that are played would have done. */
  #played(said: string): void {
    const [program, verb = "", ...rest] = said.split(" ");
    const unit = rest.at(-1) ?? "";
    if (program === "update-initramfs") {
      this.hasDeadline = true;
      this.rebuild();
    }
    if (program === "apt-get" && unit === "clevis-initramfs") this.hasClevis = true;
    if (program !== "systemctl") return;
    if (verb === "enable") this.units.set(unit, "enabled");
    if (verb === "unmask") this.agentLoads = "loaded";
    const isStarted = verb === "restart" || rest.includes("--now");
    if (isStarted && unit === "nightlatch-heartbeat.service") this.#sendHeartbeat();
    if (isStarted) {
      this.agentActive = "active";
      this.restarted = true;
    }
  }

  /** What the unit runs, until the servers were heard. */
  #sendHeartbeat(): void {
    const heard = this.at(HEARD_FILE);
    mkdirSync(dirname(heard), { recursive: true });
    const command = `${COMMAND} heartbeat --state ${this.at(STATE)} --config ${this.at(CONFIG)} --heard ${heard}`;
    const script = `${command} & until [ -s ${heard} ]; do sleep 0.1; done; kill $!`;
    spawnSync("timeout", ["20", "bash", "-c", script], { stdio: "ignore" });
  }

  /** The agent's socket has to be made anew. */
  restarted = false;

  #play(argv: readonly string[]): string | undefined {
    const asks = (...words: readonly string[]) => words.every((word) => argv.includes(word));
    const [program] = argv;
    if (program === "systemd-analyze") return "";
    if (program === "modinfo") return `/lib/modules/6.1.0/kernel/drivers/net/${argv.at(-1)}.ko\n`;
    if (program !== "systemctl" || !asks("show")) return undefined;
    if (asks("nightlatch-agent.socket")) {
      const file = this.units.get("nightlatch-agent.socket");
      return `LoadState=${this.agentLoads}\nUnitFileState=${file}\nActiveState=${this.agentActive}\n`;
    }
    if (asks("nightlatch-heartbeat.service")) {
      const shown = argv.slice(argv.indexOf("--") + 1).map((unit) => {
        const file = this.units.get(unit) ?? "disabled";
        return `Id=${unit}\nUnitFileState=${file}\nActiveState=${file === "enabled" ? "active" : "inactive"}\n`;
      });
      return shown.join("\n");
    }
    if (asks("remote-cryptsetup.target")) return `UnitFileState=${this.units.get("remote-cryptsetup.target")}\n`;
    if (this.responder === null) return "";
    const isEarly = existsSync(this.at("/etc/systemd/system/own.socket.d/nightlatch.conf"));
    const defaults = isEarly ? "no" : "yes";
    if (asks("*.socket")) {
      return `Id=own.socket\nListen=/run/own.sock (Stream)\nDefaultDependencies=${defaults}\nBefore=${this.responder.before}\nTriggers=own.service\n`;
    }
    return `LoadState=loaded\nDefaultDependencies=no\nAfter=${this.responder.after}\n`;
  }
}

const DRIVER_HOOK = "/etc/initramfs-tools/hooks/nightlatch-driver";
const NETWORK = { "/sys/class/net/eth0/operstate": "down\n" };

export const codesOf = (findings: readonly Finding[]): FindingCode[] => findings.map(({ code }) => code);
