// @ts-nocheck
import type { BootEntry } from "../../boot/entry/entry.ts";
import type { Generator, InitramfsFacts } from "../../boot/initramfs/inspect.ts";
import type { InitramfsVolume } from "../../formats/initramfs/crypttab.ts";
import type { System } from "../../system/port.ts";
import type { FoundVolume } from "./volumes.ts";

/** What making a plan may do: look. */
export type PlanPower = Pick<
  System,
  "run" | "stat" | "realPath" | "readFile" | "readFileIfPresent" | "readAt" | "listDirectory"
>;

/** What the next boot will load and open, as it was read; nothing is changed by making it. */
export interface RebootPlan {
  readonly entry: BootEntry;
  readonly cmdline: string;
  readonly kernel: Buffer;
  readonly initrds: readonly Buffer[];
  readonly generator: Generator | null;
  readonly facts: InitramfsFacts | null;
  readonly volumes: readonly PlannedVolume[];
}

/** A volume that the next boot opens, and which stage of the boot does it. */
export type PlannedVolume = InitramfsPlannedVolume | SystemPlannedVolume;

/** One that is opened in the initramfs. */
export interface InitramfsPlannedVolume extends PlannedOpening {
  readonly stage: "initramfs";
  /** Of the initramfs's own crypttab. */
  readonly line: InitramfsVolume;
}

/** One that the system opens after the initramfs. */
interface SystemPlannedVolume extends PlannedOpening {
  readonly stage: "system";
}

interface PlannedOpening {
  readonly name: string;
  readonly found: FoundVolume;
  /** The boot goes on without it (nofail). */
  readonly mayFail: boolean;
  readonly opening: Opening;
}

/**
 * How a volume opens at the next boot.
 * `disposable`: by a key that it is given for it. `heardBy` names who was asked whether that key
 * will be used, and said so.
 * `itself`: without one and without a person, and why; `proved` where that was tried, or there is
 * nothing to try.
 * `socket`: by whoever answers on the key socket that crypttab names, if it knows the key, which is
 * for the caller to prove.
 */
export type Opening =
  | { readonly kind: "disposable"; readonly heardBy?: string }
  | { readonly kind: "itself"; readonly why: string; readonly proved: boolean }
  | { readonly kind: "socket"; readonly path: string };
