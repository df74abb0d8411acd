// @ts-nocheck
import { formatSteps, type MendingStep } from "../../../boot/initramfs/mending.ts";
import { type CheckOptions, readAround } from "../../../check/collect/facts.ts";
import { isError } from "../../../core/errors.ts";
import { AGENT_CONFIG, AGENT_SOCKET } from "../../../core/places.ts";
import { hearCrypttab } from "../../../formats/systemd/crypttab-heard.ts";
import { readCrypttab } from "../../../host/crypttab.ts";
import { applySetup } from "../../../setup/apply.ts";
import { findSetupNeed, requireReplaceable, type SetupNeed } from "../../../setup/need.ts";
import { isDone, stepsOf } from "../../../setup/plan.ts";
import { stateFolderOf } from "../../volume/input.ts";
import { findEntry } from "../crypttab/entry.ts";
import type { BindInput } from "./options.ts";

/** What became of the initramfs, for a program. */
type InitramfsOutcome =
  /** It does not open the volume, or what it does cannot be told here. */
  | "not-asked"
  /** It lacks nothing. */
  | "ready"
  | "set-up"
  /** It lacks something, and stays as it is. */
  | "left";

/** Another run holds the lock for as long as an initramfs takes to be made. */
const LOCK_WAIT_MS = 10_000;

/**
 * Sets the initramfs up for a volume that it opens, after a yes, or tells what it lacks.
 * @throws NightlatchError setup/*, file/*, system/*, machine/bad-state, json/*
 */
export async function setInitramfsUp(input: BindInput, device: string): Promise<InitramfsOutcome> {
  const { options, system, terminal } = input;
  const need = await findNeed(input, device);
  if (need === null) return "not-asked";
  if (isDone(need.plan)) {
    terminal.line(`The initramfs opens ${device} (${need.why}), and lacks nothing for it.`);
    return "ready";
  }
  const { plan, mending } = need;
  tellNeed(input, device, need);
  const steps = stepsOf(plan);
  const wants = steps.length > 0 && !options["no-setup"] && (options.setup || terminal.isInteractive);
  if (!wants || !(options.setup || (await terminal.confirm("Do this now?")))) {
    if (steps.length > 0) {
      terminal.line("To set it up: the same command with --setup. Or type:");
      for (const line of formatSteps(mending, steps).split("\n")) terminal.line(`  ${line}`);
    }
    return "left";
  }
  await requireReplaceable(system, need);
  await using _ = await system.lock(`${stateFolderOf(options.state)}/lock`, LOCK_WAIT_MS);
  const images = await applySetup(system, {
    stateFolder: stateFolderOf(options.state),
    uuid: need.uuid,
    plan,
    mending,
    cmdline: need.next.entry.cmdline,
    lacksOf: need.lacksOf,
    tell: (step) => terminal.hint(step),
  });
  const made = images.map(({ release }) => release).join(", ");
  terminal.line(`The initramfs was made anew, read back and proved, for: ${made}.`);
  return plan.byHand.length > 0 ? "left" : "set-up";
}

async function findNeed({ options, system, terminal }: BindInput, device: string): Promise<SetupNeed | null> {
  const checkOptions: CheckOptions = {
    crypttab: "/etc/crypttab",
    fstab: "/etc/fstab",
    config: AGENT_CONFIG,
    socket: AGENT_SOCKET,
    stateFolder: stateFolderOf(options.state),
    tries: false,
    signal: terminal.signal,
  };
  try {
    const around = await readAround(system, checkOptions);
    const { unknown } = around.early;
    if (unknown !== null && options.setup) {
      terminal.hint(`What the next boot starts cannot be told, and nothing is set up: ${unknown.what}`);
    }
    const crypttab = await readCrypttab(system, checkOptions.crypttab);
    const { entries } = hearCrypttab(crypttab, around.cmdline).crypttab;
    const need = await findSetupNeed(system, device, await findEntry(system, device, entries), around);
    if (need === null && unknown === null && options.setup) {
      terminal.hint(`The initramfs does not open ${device}: nothing is set up there.`);
    }
    return need;
  } catch (error) {
    if (!isError(error)) throw error;
    terminal.hint(`Whether the initramfs needs anything cannot be told: ${error.message} [${error.code}]`);
    return null;
  }
}

function tellNeed({ terminal }: BindInput, device: string, { why, lacks, plan }: SetupNeed): void {
  terminal.line(`The initramfs opens ${device} (${why}). To use the binding there:`);
  for (const { what } of lacks) terminal.line(`  ${what}`);
  for (const { remedy } of plan.byHand) for (const line of remedy.split("\n")) terminal.line(`  → ${line}`);
  const steps = stepsOf(plan);
  if (steps.length > 0) terminal.line(`To be done: ${steps.map(inWords).join("; ")}.`);
}

function inWords(step: MendingStep): string {
  switch (step.kind) {
    case "install":
      return `install ${step.name}`;
    case "file":
      return `write ${step.path}`;
    case "rebuild":
      return "make the initramfs of each kernel anew, which takes a minute or more, prove it, and put it in place";
  }
}
