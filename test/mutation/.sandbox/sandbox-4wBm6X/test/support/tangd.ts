/** A real tangd on a port of its own, for tests. Needs the packages tang and socat. */
// @ts-nocheck

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** Debian's place, and Fedora's. */
const LIBEXEC = ["/usr/libexec", "/usr/lib"].find((folder) => existsSync(join(folder, "tangd")));

/** Why no tangd can be run here; false where it can. The value that node:test takes for `skip`. */
export const noTangd: string | false =
  LIBEXEC === undefined
    ? "tangd is not installed"
    : spawnSync("socat", ["-V"]).status !== 0
      ? "socat is not installed"
      : false;

export interface Tangd extends AsyncDisposable {
  readonly url: string;
  /** Of the listener, whose children answer. */
  readonly pid: number;
  /** The folder with its keys; tangd reads it anew at each request. */
  readonly keysFolder: string;
  /** Hides the present keys (they still recover) and makes a new pair. */
  rotate(): void;
}

export interface TangdOptions {
  /**
   * The curve of the exchange key; P-521, tang's own, where it is absent. Other keys are made with
   * `jose jwk gen`.
   */
  readonly exchangeCurve?: "P-256" | "P-384" | "P-521";
  /** What to run it through, to be in another network namespace. */
  readonly through?: readonly string[];
}

/** To be ended with `await using`. */
export async function startTangd(options: TangdOptions = {}): Promise<Tangd> {
  const keysFolder = mkdtempSync(join(tmpdir(), "nightlatch-tangd-"));
  makeKeys(keysFolder, options.exchangeCurve ?? "P-521");
  const socat = ["socat", "-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1,fork", `EXEC:"${LIBEXEC}/tangd ${keysFolder}"`];
  const [program = "", ...args] = [...(options.through ?? []), ...socat];
  const listener = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
  const port = await new Promise<string>((resolve, reject) => {
    listener.once("exit", (status) => reject(new Error(`socat ended with ${status}`)));
    createInterface(listener.stderr).on("line", (line) => {
      const found = /listening on .*:(\d+)$/.exec(line)?.[1];
      if (found !== undefined) resolve(found);
    });
  });
  return {
    url: `http://127.0.0.1:${port}`,
    pid: listener.pid ?? 0,
    keysFolder,
    rotate: () => must(`${LIBEXEC}/tangd-rotate-keys`, ["-d", keysFolder]),
    [Symbol.asyncDispose]: async () => {
      if (listener.exitCode !== null || listener.signalCode !== null) return; // it was ended before
      const ended = new Promise((resolve) => listener.once("exit", resolve));
      listener.kill();
      await ended;
      rmSync(keysFolder, { recursive: true, force: true });
    },
  };
}

function makeKeys(folder: string, curve: string): void {
  if (curve === "P-521") {
    must(`${LIBEXEC}/tangd-keygen`, [folder]);
  } else {
    must("jose", ["jwk", "gen", "-i", '{"alg":"ES512"}', "-o", join(folder, "sign.jwk")]);
    must("jose", ["jwk", "gen", "-i", `{"alg":"ECMR","crv":"${curve}"}`, "-o", join(folder, "exchange.jwk")]);
  }
}

function must(program: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stderr}`);
}
