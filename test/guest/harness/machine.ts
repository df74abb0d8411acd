/**
 * A whole machine under QEMU. It boots an image on an overlay of its own, so that every machine
 * starts clean, and reaches nothing but the host's services that a test names. Its serial console
 * can be read and typed at (console.ts), commands run in it (shell.ts), and it can be rebooted,
 * reset as a power cut does, and stopped. One machine runs at a time on this host.
 *
 *   const disks = [{ file, format: "raw", serial: "data" }];
 *   await using machine = await startMachine({ image, disks });
 *   await machine.login();
 *   const { stdout } = await machine.must("systemctl is-system-running --wait");
 *   await machine.reboot();
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must } from "../../../script/program.ts";
import { accelerator } from "./accelerator.ts";
import { cacheRoot, lock, pruneFolder } from "./cache.ts";
import { Console } from "./console.ts";
import { Control } from "./control.ts";
import type { Image } from "./image.ts";
import { type Board, type Disk, type Forward, qemuArguments } from "./qemu.ts";
import { type Outcome, Shell } from "./shell.ts";
import { type MachineTpm, startMachineTpm, tpmArguments } from "./tpm.ts";

export interface MachineOptions {
  readonly image: Image;
  /** Beside the image's own, from /dev/vdb on. Written to as they are: give copies. */
  readonly disks?: readonly Disk[];
  readonly forwards?: readonly Forward[];
  readonly memoryMiB?: number;
  /** Added to the kernel's command line. */
  readonly commandLine?: string;
  /**
   * Boots through the firmware, from the disk that says so, instead of QEMU's direct kernel boot.
   */
  readonly firmwareBoot?: boolean;
  readonly board?: Board;
  readonly extra?: readonly string[];
  /**
   * A file for what is written to the image, which outlives the machine: the next one with it is
   * this one, switched on again.
   */
  readonly overlay?: string;
  /** The folder of a TPM's state: its chip, over all boots of all machines with it (tpm.ts). */
  readonly tpm?: string;
}

/** Emulated, on a machine that others use too. */
export const BOOT_DEADLINE_MS = 600_000;
const COMMAND_DEADLINE_MS = 180_000;
const COMMAND_LINE = "root=/dev/vda rw console=ttyS0 quiet loglevel=4 systemd.show_status=true mitigations=off panic=5";

/** A shutdown ends the command that began it. */
const ENDED_BY_SIGNAL = 128;

export class Machine implements AsyncDisposable {
  readonly console: Console;
  readonly shell: Shell;
  readonly #control: Control;
  readonly #qemu: ChildProcess;
  readonly #clean: () => Promise<void>;
  #previousBoot: string | null = null;

  constructor(parts: {
    console: Console;
    shell: Shell;
    control: Control;
    qemu: ChildProcess;
    clean: () => Promise<void>;
  }) {
    this.console = parts.console;
    this.shell = parts.shell;
    this.#control = parts.control;
    this.#qemu = parts.qemu;
    this.#clean = parts.clean;
  }

  /** Waits for the login prompt of this boot, and for the shell. */
  async login(timeoutMs = BOOT_DEADLINE_MS): Promise<void> {
    await this.console.waitFor(/login: /, timeoutMs);
    await this.shell.booted(this.#previousBoot, timeoutMs);
  }

  /** Runs a bash script as root in the guest. */
  run(script: string, timeoutMs = COMMAND_DEADLINE_MS, stdin = ""): Promise<Outcome> {
    return this.shell.run(script, timeoutMs, stdin);
  }

  /** The same, for one that must succeed. @throws Error with what it printed */
  async must(script: string, timeoutMs = COMMAND_DEADLINE_MS, stdin = ""): Promise<string> {
    const outcome = await this.run(script, timeoutMs, stdin);
    if (outcome.status === 0) return outcome.stdout;
    throw new Error(`in the guest, ${script}\nended with ${outcome.status}:\n${outcome.stdout}${outcome.stderr}`);
  }

  /** An orderly reboot, started in the guest, up to the next login prompt. */
  async reboot(timeoutMs = BOOT_DEADLINE_MS): Promise<void> {
    await this.restart(() => this.run("systemctl reboot"), timeoutMs);
    await this.login(timeoutMs);
  }

  /**
   * Starts what makes the guest come up anew, whose answer may never come, and waits until the
   * root's systemd greets.
   * @throws Error at once where `start` is a command that fails
   */
  async restart(start: () => Promise<Outcome | undefined>, timeoutMs = BOOT_DEADLINE_MS): Promise<void> {
    this.#previousBoot = this.shell.bootId;
    const failed = new Promise<never>((_, reject) => {
      const judge = (outcome: Outcome | undefined) => {
        if (outcome === undefined || outcome.status === 0 || outcome.status > ENDED_BY_SIGNAL) return;
        reject(new Error(`it does not come up anew: ${outcome.stdout}${outcome.stderr}`));
      };
      start().then(judge, () => {}); // the shell dies with the boot
    });
    await Promise.race([this.console.waitFor(/Welcome to/, timeoutMs), failed]);
  }

  /**
   * As if the power had gone and come back: what the guest had not written is lost. Does not wait
   * for the boot.
   */
  async reset(): Promise<void> {
    this.#previousBoot = this.shell.bootId;
    await this.#control.execute("system_reset");
  }

  /** An orderly shutdown, up to the end of QEMU. */
  async powerOff(timeoutMs = BOOT_DEADLINE_MS): Promise<void> {
    const ended = this.ended(timeoutMs);
    this.run("systemctl poweroff").catch(() => {}); // the shell dies with the machine
    await ended;
  }

  /** Waits until the guest has switched itself off. */
  async ended(timeoutMs = BOOT_DEADLINE_MS): Promise<void> {
    if (this.#qemu.exitCode === null && this.#qemu.signalCode === null)
      await once(this.#qemu, "close", { signal: AbortSignal.timeout(timeoutMs) });
  }

  /** Ends the machine at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#qemu.once("close", resolve));
    if (this.#qemu.exitCode === null && this.#qemu.signalCode === null) {
      this.#qemu.kill("SIGKILL");
      await ended;
    }
    await this.#clean();
  }
}

/** Starts a machine; waits for its turn first. @throws Error when QEMU does not start */
export async function startMachine(options: MachineOptions): Promise<Machine> {
  const turn = await lock("machine.lock");
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-guest-"));
  let tpm: MachineTpm | null = null;
  const clean = async () => {
    await tpm?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
    await turn[Symbol.asyncDispose]();
  };
  try {
    const overlay = options.overlay ?? join(folder, "root.qcow2");
    if (!existsSync(overlay))
      await must(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", options.image.disk, overlay]);
    const sockets = {
      console: join(folder, "console"),
      shell: join(folder, "shell"),
      control: join(folder, "control"),
    };
    if (options.tpm !== undefined) tpm = await startMachineTpm(options.tpm, join(folder, "tpm"));
    const connections = Promise.all(Object.values(sockets).map(acceptOne));
    const argv = qemuArguments({
      accelerator: await accelerator(),
      memoryMiB: options.memoryMiB ?? 768,
      disks: [{ file: overlay, format: "qcow2", serial: "root" }, ...(options.disks ?? [])],
      forwards: options.forwards ?? [],
      sockets,
      directBoot: options.firmwareBoot
        ? null
        : { ...options.image, commandLine: [COMMAND_LINE, options.commandLine].filter(Boolean).join(" ") },
      board: options.board ?? "pc",
      extra: [...(options.extra ?? []), ...(tpm === null ? [] : tpmArguments(tpm))],
    });
    const qemu = startQemu(argv);
    try {
      const [console, shell, control] = await Promise.race([connections, qemu.ended.then(failWith)]);
      if (console === undefined || shell === undefined || control === undefined)
        throw new Error("QEMU did not connect");
      const serial = new Console(console, transcriptFile());
      void qemu.ended.then((how) => serial.end(how));
      return new Machine({
        console: serial,
        shell: new Shell(shell),
        control: new Control(control),
        qemu: qemu.process,
        clean,
      });
    } catch (error) {
      qemu.process.kill("SIGKILL");
      throw error;
    }
  } catch (error) {
    await clean();
    throw error;
  }
}

function failWith(why: string): never {
  throw new Error(why);
}

/** `ended` never throws: it says how QEMU ended, and what it said. */
function startQemu(argv: readonly string[]): { process: ChildProcess; ended: Promise<string> } {
  // Should this process be killed, the machine goes with it.
  const process = spawn("setpriv", ["--pdeathsig", "KILL", "nice", "-n", "10", "qemu-system-x86_64", ...argv], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said: string[] = [];
  for (const stream of [process.stdout, process.stderr])
    stream.on("data", (text: Buffer) => said.push(text.toString()));
  const ended = new Promise<string>((resolve) => {
    process.once("error", (error) => resolve(`QEMU could not be started: ${error.message}`));
    process.once("close", (status, signal) => resolve(`QEMU ended with ${signal ?? status}: ${said.join("").trim()}`));
  });
  return { process, ended };
}

let machines = 0;

/** Kept after the test for a person to read, those of the last machines. */
function transcriptFile(): string {
  const shelf = join(cacheRoot(), "consoles");
  mkdirSync(shelf, { recursive: true, mode: 0o700 });
  pruneFolder(shelf, KEPT_TRANSCRIPTS - 1);
  return join(shelf, `${process.pid}-${++machines}.log`);
}

const KEPT_TRANSCRIPTS = 30;

/** The first connection to a Unix socket, which then listens no more. */
function acceptOne(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      server.close();
      resolve(socket);
    });
    server.once("error", reject);
    server.listen(path);
  });
}
