import type { PlannedVolume, RebootPlan } from "../reboot/planned.ts";
import type { Staged } from "../reboot/stage.ts";

/** The plan as a person reads it, once everything in it was tried. */
export function planLines(plan: RebootPlan, staged: Staged): string[] {
  const { entry, stack } = plan;
  const release = entry.release === null || entry.title.includes(entry.release) ? "" : `, linux ${entry.release}`;
  return [
    row("next boot", `${entry.title}${release} (${entry.source}${entry.once ? ", once" : ""})`),
    ...entry.notes.map((note) => row("", note)),
    ...plan.volumes.map((volume) => row("opens", `${volume.found.device} → ${volume.name}   ${howItOpens(volume)}`)),
    row(
      "via",
      `kexec, initramfs${stack === null ? "" : ` of ${stack}`}, ${mebibytes(staged.initramfsBytes)} + ${staged.overlayBytes} bytes, no key on any disk`,
    ),
  ];
}

const row = (name: string, text: string): string => `  ${name.padEnd(11)} ${text}`;

function howItOpens({ opening, line }: PlannedVolume): string {
  if (opening.kind === "itself") return `by itself: ${opening.why}`;
  return `disposable key, proved${line === null ? ", after the initramfs" : ""}`;
}

const mebibytes = (bytes: number): string => `${(bytes / (1 << 20)).toFixed(1)} MiB`;

/** The same for a program; docs/json.md. */
export function describePlan(plan: RebootPlan, staged: Staged): Record<string, unknown> {
  const { entry, stack, cmdline, volumes } = plan;
  return {
    via: "kexec",
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
    initramfs: { stack, lengthBytes: staged.initramfsBytes, overlayBytes: staged.overlayBytes },
    volumes: volumes.map(({ name, found, line, opening }) => ({
      name,
      device: found.device,
      uuid: found.header?.uuid ?? null,
      stage: line === null ? "system" : "initramfs",
      opens: opening.kind === "disposable" ? "disposable key" : opening.why,
    })),
  };
}
