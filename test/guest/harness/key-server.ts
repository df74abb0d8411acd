/** The real key server of this checkout on the host, for guests to reach through a forward. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { must } from "../../../script/program.ts";
import { type Forward, HOST_ADDRESS } from "./qemu.ts";

const COMMAND = join(import.meta.dirname, "../../../bin/nightlatch");
const GUEST_PORT = 7654;

/** Where one keeps what a start of it needs. */
interface Place {
  readonly folder: string;
  readonly admin: string;
}

export class KeyServer implements AsyncDisposable {
  #process: ChildProcess;
  readonly #place: Place;
  /** For the machine's options: the server at the address that its invites carry. */
  readonly forward: Forward;

  constructor(process: ChildProcess, place: Place, hostPort: number) {
    this.#process = process;
    this.#place = place;
    this.forward = { guestAddress: HOST_ADDRESS, guestPort: GUEST_PORT, hostPort };
  }

  /**
   * `nightlatch …` as its operator types it; what it answers as JSON.
   * @throws Error where it fails
   */
  async command(...words: string[]): Promise<Record<string, unknown>> {
    const argv = [COMMAND, ...words, "--admin", this.#place.admin, "--json"] as const;
    return JSON.parse(await must(argv)) as Record<string, unknown>;
  }

  /** `nightlatch machine …`, as `command`. */
  machine(...words: string[]): Promise<Record<string, unknown>> {
    return this.command("machine", ...words);
  }

  /** The line to paste on a machine. */
  async invite(name: string): Promise<string> {
    return String((await this.machine("invite", name))["invite"]);
  }

  /** Ends it and starts it anew, on the same store and port. */
  async restart(): Promise<void> {
    await this.#end();
    this.#process = (await serve(this.#place, this.forward.hostPort)).process;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    rmSync(this.#place.folder, { recursive: true, force: true });
  }

  async #end(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once("close", resolve));
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill("SIGTERM");
    await ended;
  }
}

export async function startKeyServer(): Promise<KeyServer> {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-keys-"));
  const place = { folder, admin: join(folder, "admin.sock") };
  const { process, port } = await serve(place, 0);
  return new KeyServer(process, place, port);
}

/** @param port on 127.0.0.1, 0 for any that is free */
async function serve({ folder, admin }: Place, port: number): Promise<{ process: ChildProcess; port: number }> {
  const listen = ["--listen", `127.0.0.1:${port}`, "--url", `http://${HOST_ADDRESS}:${GUEST_PORT}`];
  const argv = ["--pdeathsig", "KILL", COMMAND, "serve", "--data", join(folder, "store"), ...listen, "--admin", admin];
  const process = spawn("setpriv", [...argv, "--json"], { stdio: ["ignore", "pipe", "inherit"] });
  const line = await new Promise<string>((resolve, reject) => {
    createInterface(process.stdout).once("line", resolve);
    process.once("close", (status) => reject(new Error(`the key server ended with ${status}`)));
  });
  return { process, port: (JSON.parse(line) as { listen: { port: number } }).listen.port };
}
