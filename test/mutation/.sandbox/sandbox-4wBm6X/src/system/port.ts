// @ts-nocheck
import type { AttemptLimits } from "../core/limits.ts";
import type { Flaw } from "../core/ownership.ts";

/**
 * The port to the world. Everything that touches a process, a file, the network, the clock or
 * chance goes through it. A function's parameter type (`Pick<System, "run">`) says what power it
 * needs, and a test can stop the world at any step.
 */
export interface System {
  /**
   * Runs a program by absolute path or PATH name, without a shell, with `LC_ALL=C`. A status other
   * than 0 is an answer, not a throw.
   * @throws NightlatchError system/missing-program, system/timeout, system/output-too-large
   */
  run(command: RunRequest): Promise<Exit>;

  /**
   * Reads a whole file, or all that comes through a pipe.
   * @throws NightlatchError file/missing, file/denied, file/too-large, file/io
   */
  readFile(path: string, limitBytes: number): Promise<Buffer>;
  /**
   * Reads a whole file that may be missing. Null where nothing is.
   * @throws NightlatchError file/denied, file/too-large, file/io
   */
  readFileIfPresent(path: string, limitBytes: number): Promise<Buffer | null>;
  /**
   * Reads up to `lengthBytes` from `offsetBytes` of a regular file or a block device. The answer is
   * shorter where that ends. Nothing else is read, and a pipe is not waited for.
   * @throws NightlatchError file/wrong-kind, file/missing, file/denied, file/io
   */
  readAt(path: string, offsetBytes: number, lengthBytes: number): Promise<Buffer>;
  /**
   * Writes a file, atomically and durably: a temporary file beside it, fsync, rename, and fsync of
   * the folder. If the power goes, the old file or the new one is there, whole.
   * @throws NightlatchError file/missing (the folder), file/denied, file/full, file/io
   */
  writeFile(path: string, bytes: Uint8Array, mode: number): Promise<void>;
  /**
   * Opens a file that is changed where it lies: what is overwritten is then gone, as far as the
   * file system can do that. All members of the answer throw the same errors.
   * @param made the mode of a file that is made, empty and durably, where there is none; absent, a
   * missing file is refused
   * @throws NightlatchError file/missing, file/denied, file/full, file/io
   */
  openInPlace(path: string, made?: number): Promise<InPlaceFile>;
  /**
   * Removes a file, durably. A file that is not there is removed already.
   * @throws NightlatchError file/denied, file/io
   */
  removeFile(path: string): Promise<void>;
  /**
   * Makes a folder and its parents, durably. A folder that exists keeps its mode.
   * @throws NightlatchError file/denied, file/full, file/io
   */
  makeDirectory(path: string, mode: number): Promise<void>;
  /**
   * Lists the names in a folder, sorted. A folder that is not there has none.
   * @throws NightlatchError file/denied, file/io
   */
  listDirectory(path: string): Promise<string[]>;
  /**
   * Tells what lies at a path, or where its links lead. Null where nothing is.
   * @throws NightlatchError file/denied, file/io
   */
  stat(path: string): Promise<FileFacts | null>;
  /**
   * Tells what lies at a path, which may be a link itself. Null where nothing is.
   * @throws NightlatchError file/denied, file/io
   */
  lstat(path: string): Promise<FileFacts | null>;
  /**
   * Follows every link of a path. Null where nothing is that this process can reach.
   * @throws NightlatchError file/io
   */
  realPath(path: string): Promise<string | null>;
  /**
   * Tells how many bytes any user may still write on the file system of a path; root may have a
   * reserve beside.
   * @throws NightlatchError file/missing, file/denied, file/io
   */
  freeBytes(path: string): Promise<number>;
  /**
   * Finds, on the way to each file with its links followed, the first place where users other than
   * root and this process's own could change the file, or read it if it is a secret. A place on the
   * way to several files is told once. Empty where there is none, or where nothing is there.
   * @throws NightlatchError file/denied, file/io
   */
  findExposures(files: readonly { readonly path: string; readonly isSecret: boolean }[]): Promise<readonly Exposure[]>;
  /**
   * Waits for an exclusive lock on a file, which is made where it is missing, and stays. The lock
   * is held until it is disposed, or until this process and every program that was run with it have
   * ended, however they ended.
   * @throws NightlatchError system/busy where it is not had within `waitMs`, file/missing (the
   * folder), file/denied, file/io
   */
  lock(path: string, waitMs: number): Promise<Lock>;

  /**
   * Makes one HTTP exchange. No redirect is followed, and no connection kept.
   * @throws NightlatchError net/unreachable, net/timeout, net/too-large
   */
  request(request: HttpRequest): Promise<HttpResponse>;

  /**
   * Opens a conversation with the machine's TPM 2.0: /dev/tpmrm0, or where TPM2TOOLS_TCTI says.
   * @param limits of the conversation, all commands of it together
   * @throws NightlatchError tpm2/no-chip, tpm2/silent
   */
  openTpm(limits: AttemptLimits): Promise<TpmConnection>;

  /** The wall clock, in milliseconds since the epoch. */
  nowMs(): number;
  /** Milliseconds since some moment; never goes back. */
  monotonicMs(): number;
  /**
   * Milliseconds since the machine was started, on a clock that nobody sets and that goes on while
   * the machine sleeps. Its steps may be as long as a second.
   */
  upMs(): number;
  /** Waits. An aborted signal ends the wait early, without a throw. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  /** Bytes from the kernel's random number generator. */
  random(lengthBytes: number): Buffer;
}

/** A program to run: its words, what it reads, and how long it may take. */
export interface RunRequest {
  readonly argv: readonly [string, ...string[]];
  /** Written to stdin, which is then closed. It is the only way for key material into a program. */
  readonly stdin?: Uint8Array;
  /**
   * Makes stdin a pipe, which the program can open as /dev/stdin or /dev/fd/0. The socket that Node
   * makes cannot be opened so.
   */
  readonly opensStdin?: boolean;
  /** How long it may run. */
  readonly timeoutMs: number;
  /**
   * Takes stdout piece by piece as it comes, for what is too large to hold. `Exit.stdout` is then
   * empty, and no limit holds.
   */
  readonly take?: (chunk: Buffer) => void;
  /** For stdout and stderr each; 1 MiB where it is absent. */
  readonly outputLimitBytes?: number;
  readonly signal?: AbortSignal;
  /** Held by the program too, until it ends. */
  readonly lock?: Lock;
}

/** A lock that is held until it is disposed. */
export interface Lock extends AsyncDisposable {
  readonly descriptor: number;
}

/** How a program ended, and what it printed. */
export interface Exit {
  /** The exit status, or null where a signal ended it. */
  readonly status: number | null;
  readonly signal: string | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/** What stat(2) says of a file. */
export interface FileFacts {
  /** `link` is told by lstat alone. */
  readonly kind: "file" | "directory" | "block" | "socket" | "link" | "other";
  /** Permission bits, 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  /** When its content was last written, in milliseconds since the epoch. */
  readonly modifiedMs: number;
}

/** Its members are synchronous: nothing can come between the steps of a change. */
export interface InPlaceFile extends Disposable {
  readonly sizeBytes: number;
  /** Reads from an offset; the answer is shorter where the file ends. */
  read(offsetBytes: number, lengthBytes: number): Buffer;
  /** Overwrites from an offset. It is durable once `sync` has returned. */
  write(offsetBytes: number, bytes: Uint8Array): void;
  sync(): void;
}

/** The first place on the way to a file that others than its owner have a hand in. */
export interface Exposure {
  readonly path: string;
  readonly kind: "file" | "folder" | "link";
  readonly flaw: Flaw;
  /** Permission bits, 0o7777. */
  readonly mode: number;
  readonly uid: number;
}

/** One request of HTTP, with its limits. */
export interface HttpRequest {
  readonly method: "GET" | "POST";
  /** http: or https: */
  readonly url: string;
  /** A Unix socket to connect to in place of the URL's host. */
  readonly socketPath?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * A function is called once, after the connection was begun: the body is made while that comes.
   */
  readonly body?: Uint8Array | (() => Uint8Array);
  /** How long all of it may take, from the look-up of the name to the last byte. */
  readonly timeoutMs: number;
  readonly limitBytes: number;
  readonly signal?: AbortSignal;
  /**
   * Called once the request is on its way. What is computed then costs no time, for the server is
   * at work. Not every system calls it.
   */
  readonly onSent?: () => void;
}

/** A conversation with a TPM. What it leaves in the chip's memory is its own to flush. */
export interface TpmConnection extends AsyncDisposable {
  /**
   * Sends one command, and gives the answer whole. A command that the chip wants once more is sent
   * once more.
   * @throws NightlatchError tpm2/silent where none comes in time, tpm2/no-chip where it is gone,
   *   tpm2/malformed where what comes has no head of an answer
   */
  transmit(command: Uint8Array): Promise<Buffer>;
}

/** An answer of HTTP, whatever its status. */
export interface HttpResponse {
  readonly status: number;
  readonly contentType: string;
  /** Where a redirect leads to, as it was sent; absent where the answer names nothing. */
  readonly location?: string;
  readonly body: Buffer;
}
