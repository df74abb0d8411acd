// @ts-nocheck
import type { EarlyLack } from "../boot/initramfs/clevis.ts";
import type { FileStep, MendingStep } from "../boot/initramfs/mending.ts";

/** What makes an initramfs able to open a volume by itself, in the order in which it is done. */
export interface SetupPlan {
  readonly packages: readonly string[];
  readonly files: readonly FileStep[];
  /** Whether the initramfs of each kernel is made anew. */
  readonly rebuilds: boolean;
  /** What is lacking beside, and takes a person. */
  readonly byHand: readonly Pick<EarlyLack, "what" | "remedy">[];
}

/** Plans what mends all lacks: the steps that `check` prints for each, every one of them once. */
export function planSetup(lacks: readonly Pick<EarlyLack, "what" | "remedy" | "steps">[]): SetupPlan {
  const steps = lacks.flatMap(({ steps }) => steps ?? []);
  const files = steps.filter((step): step is FileStep => step.kind === "file");
  return {
    packages: [...new Set(steps.flatMap((step) => (step.kind === "install" ? [step.name] : [])))],
    // The last of several for one path is what typing the commands would leave there.
    files: [...new Map(files.map((file) => [file.path, file])).values()],
    rebuilds: steps.some(({ kind }) => kind === "rebuild"),
    byHand: lacks.filter(({ steps }) => steps === null),
  };
}

/** The plan as steps, for whoever wants to type them. */
export function stepsOf({ packages, files, rebuilds }: SetupPlan): MendingStep[] {
  return [
    ...packages.map((name) => ({ kind: "install" as const, name })),
    ...files,
    ...(rebuilds ? [{ kind: "rebuild" as const }] : []),
  ];
}

/** Whether there is nothing to do, by us or by a person. */
export const isDone = (plan: SetupPlan): boolean => stepsOf(plan).length === 0 && plan.byHand.length === 0;
