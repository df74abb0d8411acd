// @ts-nocheck
import { NightlatchError } from "../../src/core/errors.ts";
import type { Exit, FileFacts, RunRequest, System } from "../../src/system/port.ts";

type Files = Readonly<Record<string, string | Buffer>>;
/** Answers a program, or undefined for one that is not installed. */
export type Programs = (
  argv: readonly string[],
  command: RunRequest,
) => { status?: number; stdout?: string; stderr?: string } | undefined;

type Reading =
  | "stat"
  | "lstat"
  | "realPath"
  | "freeBytes"
  | "readFile"
  | "readFileIfPresent"
  | "readAt"
  | "listDirectory";

export interface FakeSystem extends Pick<System, "run" | Reading> {
  /** Every program that was run. */
  readonly ran: (readonly string[])[];
}

/**
 * A world of files and programs, for what only reads. Folders are what files imply.
 * @param links paths that are links, and where each leads, as `realPath` has it; what is read of
 * one is in `files`
 */
export function fakeSystem(
  files: Files,
  programs: Programs = () => undefined,
  links: Readonly<Record<string, string>> = {},
): FakeSystem {
  const bytesOf = (path: string): Buffer => {
    const content = files[path];
    if (content === undefined) throw new NightlatchError("file/missing", `${path} does not exist`);
    return Buffer.from(content);
  };
  const ran: (readonly string[])[] = [];
  const stat = async (path: string): Promise<FileFacts | null> => {
    const isFile = files[path] !== undefined;
    if (!isFile && !Object.keys(files).some((file) => file.startsWith(`${path}/`))) return null;
    const sizeBytes = isFile ? bytesOf(path).length : 0;
    return { kind: isFile ? "file" : "directory", mode: 0o644, uid: 0, gid: 0, sizeBytes, modifiedMs: 0 };
  };
  return {
    ran,
    run: async (command): Promise<Exit> => {
      ran.push(command.argv);
      const answer = programs(command.argv, command);
      if (answer === undefined)
        throw new NightlatchError("system/missing-program", `${command.argv[0]} could not be started`);
      const { status = 0, stdout = "", stderr = "" } = answer;
      return { status, signal: null, stdout: Buffer.from(stdout), stderr: Buffer.from(stderr) };
    },
    stat,
    lstat: async (path) => {
      const facts = await stat(path);
      return facts !== null && links[path] !== undefined ? { ...facts, kind: "link" } : facts;
    },
    realPath: async (path) => links[path] ?? ((await stat(path)) === null ? null : path),
    freeBytes: async () => 1e9,
    readFile: async (path) => bytesOf(path),
    readFileIfPresent: async (path) => (files[path] === undefined ? null : bytesOf(path)),
    readAt: async (path, offsetBytes, lengthBytes) => bytesOf(path).subarray(offsetBytes, offsetBytes + lengthBytes),
    listDirectory: async (folder) => {
      const inside = Object.keys(files).filter((path) => path.startsWith(`${folder}/`));
      return [...new Set(inside.map((path) => String(path.slice(folder.length + 1).split("/")[0])))].sort();
    },
  };
}
