// @ts-nocheck
import type { PlannedVolume, RebootPlan } from "../../../reboot/plan/reboot-plan.ts";
import type { StagedBoot } from "../../../reboot/ways/staged-boot.ts";
import type { Terminal } from "../../command.ts";

/** Says how the staged boot will go. */
export function tellPerson(terminal: Pick<Terminal, "line">, { carrier, carry, plan, staged }: StagedBoot): void {
  const via = `${carrier.via}${initramfsText(plan)} + ${staged.overlayBytes} bytes, ${carry.words}`;
  for (const line of planLines(plan, via)) terminal.line(line);
}

/** The same, once all is done: a program is told one outcome. @param facts what the command adds */
export function tellProgram(
  terminal: Pick<Terminal, "result">,
  { carrier, carry, plan, staged, stagingMs }: StagedBoot,
  facts: Readonly<Record<string, unknown>> & { readonly ok: boolean },
): void {
  const described = describePlan(plan, staged.overlayBytes);
  terminal.result({ ...facts, via: carrier.via, stagingMs, ...described, ...carry.facts });
}

/**
 * The plan as a person reads it, once everything in it was tried.
 * @param via the way that is gone, and what that means for the disks
 */
export function planLines({ entry, volumes }: RebootPlan, via: string): string[] {
  const release = entry.release === null || entry.title.includes(entry.release) ? "" : `, linux ${entry.release}`;
  return [
    row("next boot", `${entry.title}${release} (${entry.source}${entry.once ? ", once" : ""})`),
    ...entry.notes.map((note) => row("", note)),
    ...volumes.map((volume) => row("opens", `${volume.found.device} → ${volume.name}   ${howItOpens(volume)}`)),
    row("via", via),
  ];
}

/** The last line of a dry run that has left nothing. */
export const DRY_RUN_OVER = "That was a dry run: nothing is staged.";

const row = (name: string, text: string): string => `  ${name.padEnd(11)} ${text}`;

/** `, initramfs of dracut, 62.0 MiB`; begins with what parts it from the way. */
export function initramfsText(plan: RebootPlan): string {
  const { generator } = plan;
  return `, initramfs${generator === null ? "" : ` of ${generator}`}, ${(initramfsBytes(plan) / (1 << 20)).toFixed(1)} MiB`;
}

const initramfsBytes = ({ initrds }: RebootPlan): number => initrds.reduce((sum, initrd) => sum + initrd.length, 0);

function howItOpens({ opening, stage }: PlannedVolume): string {
  switch (opening.kind) {
    case "itself":
      return opening.proved ? `by itself: ${opening.why}` : opening.why;
    case "socket":
      return `by itself: key socket ${opening.path}`;
    case "disposable":
      return `disposable key, proved (${triedOf(opening.heardBy)})${stage === "system" ? ", after the initramfs" : ""}`;
  }
}

/** What "proved" stands for. */
const triedOf = (heardBy: string | undefined): string =>
  ["it opened its keyslot", ...(heardBy === undefined ? [] : [`${heardBy} will use it`])].join("; ");

/** The same for a program; docs/json.md. */
export function describePlan(plan: RebootPlan, overlayBytes: number): Record<string, unknown> {
  const { entry, generator, cmdline, volumes } = plan;
  return {
    entry: {
      title: entry.title,
      id: entry.id,
      source: entry.source,
      once: entry.once,
      release: entry.release,
      kernel: entry.kernel.path,
      initrds: entry.initrds.map((initrd) => initrd.path),
      cmdline,
      notes: entry.notes,
    },
    initramfs: { stack: generator, lengthBytes: initramfsBytes(plan), overlayBytes },
    volumes: volumes.map(({ name, found, stage, opening, mayFail }) => ({
      name,
      device: found.device,
      uuid: found.header?.uuid ?? null,
      stage,
      opens: describeOpening(opening),
      proved: opening.kind === "disposable" || (opening.kind === "itself" && opening.proved),
      tried: opening.kind === "disposable" ? triedOf(opening.heardBy) : null,
      mayFail,
    })),
  };
}

function describeOpening(opening: PlannedVolume["opening"]): string {
  switch (opening.kind) {
    case "itself":
      return opening.why;
    case "socket":
      return `key socket ${opening.path}`;
    case "disposable":
      return "disposable key";
  }
}
