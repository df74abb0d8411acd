// @ts-nocheck
import { SMALL_PROGRAM_MS } from "../../core/deadlines.ts";
import { NightlatchError } from "../../core/errors.ts";
import type { OneshotMark } from "../../formats/own/oneshot-mark.ts";
import type { FileSystem } from "../../host/file-system.ts";
import type { Lock, System } from "../../system/port.ts";
import type { BootEntry } from "../entry/entry.ts";

/** What a one-time boot may do to the world. */
export type OneshotPower = Pick<
  System,
  | "run"
  | "stat"
  | "lstat"
  | "realPath"
  | "freeBytes"
  | "readFile"
  | "readFileIfPresent"
  | "writeFile"
  | "removeFile"
  | "makeDirectory"
  | "listDirectory"
>;

/** What is to boot once. */
export interface OneshotRequest {
  readonly entry: BootEntry;
  readonly cmdline: string;
  /** Of the entry's initrds, all of them. */
  readonly initrdBytes: number;
}

/** A one-time boot that was found possible; nothing is changed yet. */
export interface PreparedOneshot {
  readonly loader: OneshotLoader["name"];
  /** Where the keys will lie. */
  readonly overlay: string;
  readonly fileSystem: FileSystem;
  /**
   * The files, the entry, and at last the choice, each durable before the next: cut off at any
   * step, the default boots.
   * @param lock held by the program that chooses: should we be killed, who takes it back waits
   * until it has ended
   * @throws NightlatchError oneshot/failed, file/*; what was done is left for `OneshotLoader`'s
   * other calls
   */
  arm(overlay: Buffer, validity: Pick<OneshotMark, "boot" | "expires">, lock: Lock): Promise<void>;
}

/** What a boot loader holds of ours. */
export interface HeldOneshot {
  /** The file that the entry stands in; null where only the choice is left. */
  readonly entry: string | null;
  /** Null where the entry does not tell. */
  readonly mark: OneshotMark | null;
  /** Whether the next boot takes it. */
  readonly isChosen: boolean;
}

/** One boot loader's way to boot another entry once. */
export interface OneshotLoader {
  /** As people read it. */
  readonly name: string;
  /** The `source` of the entries that are its. */
  readonly source: string;
  /** @throws NightlatchError oneshot/unavailable where it would not come back, or not only once */
  prepare(system: OneshotPower, request: OneshotRequest): Promise<PreparedOneshot>;
  find(system: OneshotPower): Promise<HeldOneshot | null>;
  /**
   * Puts back the one-time choice that was there before ours, if ours is set. True where it was.
   */
  unchoose(system: OneshotPower): Promise<boolean>;
  /** Removes the entry. @returns what is gone, for a person */
  removeEntry(system: OneshotPower): Promise<string[]>;
}

/** Makes the error for a machine on which a one-time boot is not possible. */
export function unavailable(what: string, remedy?: string): NightlatchError {
  return new NightlatchError("oneshot/unavailable", `a one-time boot is not possible here: ${what}`, {
    meaning: "Nothing was changed.",
    ...(remedy === undefined ? {} : { remedy }),
  });
}

/**
 * Runs a program that has to succeed, and gives what it prints.
 * @throws NightlatchError oneshot/failed, system/*
 */
export async function mustRun(
  system: Pick<System, "run">,
  argv: readonly [string, ...string[]],
  lock?: Lock,
): Promise<Buffer> {
  const held = lock === undefined ? {} : { lock };
  const { status, stdout, stderr } = await system.run({ argv, timeoutMs: SMALL_PROGRAM_MS, ...held });
  if (status === 0) return stdout;
  const said = stderr.toString("utf8").trim().split("\n").at(-1)?.slice(0, 200) ?? "";
  throw new NightlatchError("oneshot/failed", `${argv.slice(0, 2).join(" ")} ended with status ${status}: ${said}`, {
    meaning: "The boot loader's default entry is as it was.",
  });
}

/**
 * Brings what was written to where a boot loader finds it. A loader knows no journal: a metadata
 * block that is only in the journal is not there for GRUB. syncfs(2) commits the journal of ext4,
 * and then writes the blocks themselves.
 * @throws NightlatchError oneshot/failed, system/*
 */
export async function settle(system: Pick<System, "run">, folder: string): Promise<void> {
  await mustRun(system, ["sync", "--file-system", folder]);
}
