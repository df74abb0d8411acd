import type { Flaw } from "../core/ownership.ts";

/**
 * The port to the world. Everything that touches a process, a file, the network, the clock or
 * chance goes through it, so that a function's parameter type (`Pick<System, "run">`) says what
 * power it needs, and a test can stop the world at any step.
 */
export interface System {
  /** Runs a program by absolute path or PATH name, no shell, `LC_ALL=C`, with a deadline and an output limit.
   *  A non-zero exit is an answer, not a throw.
   *  @throws NightlatchError system/missing-program, system/timeout, system/output-too-large */
  run(command: Command): Promise<Exit>;

  /**
   * Whole file, or all that comes through a pipe.
   * @throws NightlatchError file/missing, file/denied, file/too-large, file/io
   */
  readFile(path: string, limitBytes: number): Promise<Buffer>;
  /**
   * As readFile; null where nothing is.
   * @throws NightlatchError file/denied, file/too-large, file/io
   */
  readFileIfPresent(path: string, limitBytes: number): Promise<Buffer | null>;
  /** Up to `lengthBytes` from `offsetBytes`; shorter at the end of the file or device. Nothing but a regular file or a
   *  block device is read. @throws as readFile, and file/wrong-kind */
  readAt(path: string, offsetBytes: number, lengthBytes: number): Promise<Buffer>;
  /**
   * Atomic and durable: a temporary file beside it, fsync, rename, fsync of the folder.
   * @throws file/denied, file/full, file/io
   */
  writeFile(path: string, bytes: Uint8Array, mode: number): Promise<void>;
  /** A file that is changed where it lies, so that what is overwritten is gone as far as the file system can do that.
   *  `made` is the mode of one that is made where there is none, empty and durably; without it a
   * missing one is refused.
   * @throws NightlatchError file/missing, file/denied, file/full, file/io, as all its members do */
  openInPlace(path: string, made?: number): Promise<InPlaceFile>;
  /** Removes a file; one that is not there is fine. The folder is synced. */
  removeFile(path: string): Promise<void>;
  /** Makes a folder and its parents, durably; one that exists keeps its mode. */
  makeDirectory(path: string, mode: number): Promise<void>;
  /** Names in a folder, sorted; an absent folder is an empty list. */
  listDirectory(path: string): Promise<string[]>;
  /** Follows links; null where nothing is. @throws NightlatchError file/denied, file/io */
  stat(path: string): Promise<FileFacts | null>;
  /** As stat, of a link itself. */
  lstat(path: string): Promise<FileFacts | null>;
  /** The absolute path without a link in it. Null where nothing is that this process can reach.
   *  @throws NightlatchError file/io */
  realPath(path: string): Promise<string | null>;
  /** Bytes that any user may still write on the file system of a path; root may have a reserve.
   *  @throws NightlatchError file/missing, file/denied, file/io */
  freeBytes(path: string): Promise<number>;
  /** Where, on the way to each file with its links followed, others than root and this process's user could change it, or could
   *  read one that is a secret; a place that is on the way to several once. Empty where that is
   * nowhere, or nothing is there.
   * @throws NightlatchError file/* but file/missing */
  findExposures(files: readonly { readonly path: string; readonly isSecret: boolean }[]): Promise<readonly Exposure[]>;
  /** Waits for an exclusive lock on a file, which is made where it is missing and stays. It is held until it is disposed, or until this
   *  process and every program that was run with it have ended, however they ended.
   * @throws NightlatchError system/busy when it is not had within waitMs, file/missing (the
   * folder), file/denied, file/io */
  lock(path: string, waitMs: number): Promise<Lock>;

  /** One HTTP exchange, no redirects followed, no connection kept.
   *  @throws NightlatchError net/unreachable, net/timeout, net/too-large */
  request(request: HttpRequest): Promise<HttpResponse>;

  /** Wall clock, milliseconds since the epoch. */
  nowMs(): number;
  /** Never goes back; origin unspecified. */
  monotonicMs(): number;
  /** Resolves early, without a throw, when the signal aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  /** From the kernel's CSPRNG. */
  random(lengthBytes: number): Buffer;
}

export interface Command {
  readonly argv: readonly [string, ...string[]];
  /** Written to stdin, which is then closed. The only way for key material into a program. */
  readonly stdin?: Uint8Array;
  /**
   * Its stdin is a pipe, which a program can open by the names /dev/stdin and /dev/fd/0, and not
   * the socket that Node makes.
   */
  readonly opensStdin?: boolean;
  readonly deadlineMs: number;
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

export interface Lock extends AsyncDisposable {
  readonly descriptor: number;
}

export interface Exit {
  /** Exit status, or null when a signal ended it. */
  readonly status: number | null;
  readonly signal: string | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

export interface FileFacts {
  /** A link is told by lstat alone. */
  readonly kind: "file" | "directory" | "block" | "socket" | "link" | "other";
  /** Permission bits, 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
}

/** Its members are synchronous: nothing can come between the steps of a change. */
export interface InPlaceFile extends Disposable {
  readonly sizeBytes: number;
  /** Shorter at the end of the file. */
  read(offsetBytes: number, lengthBytes: number): Buffer;
  /** Durable once `sync` has returned. */
  write(offsetBytes: number, bytes: Uint8Array): void;
  sync(): void;
}

/** The first place on the way to a file that is not its owner's alone. */
export interface Exposure {
  readonly path: string;
  readonly kind: "file" | "folder" | "link";
  readonly flaw: Flaw;
  /** Permission bits, 0o7777. */
  readonly mode: number;
  readonly uid: number;
}

export interface HttpRequest {
  readonly method: "GET" | "POST";
  /** http:, https: */
  readonly url: string;
  /** A Unix socket to connect to in place of the URL's host. */
  readonly socketPath?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * A function is called once, when the connection has been begun: it comes about while the body
   * does.
   */
  readonly body?: Uint8Array | (() => Uint8Array);
  readonly deadlineMs: number;
  readonly limitBytes: number;
  readonly signal?: AbortSignal;
  /**
   * Called once the request is on its way: what is computed then takes no time, for the server is
   * at work. Not called by every system.
   */
  readonly onSent?: () => void;
}

export interface HttpResponse {
  readonly status: number;
  readonly contentType: string;
  /** Where a redirect leads to, as it was sent; absent where the answer names nothing. */
  readonly location?: string;
  readonly body: Buffer;
}
