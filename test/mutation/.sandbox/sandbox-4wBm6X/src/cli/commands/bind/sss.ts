// @ts-nocheck
import type { Binding } from "../../../bindings/binding.ts";
import { sharesOf } from "../../../bindings/shares.ts";
import { sealToShares } from "../../../pins/sss/seal.ts";
import type { System } from "../../../system/port.ts";
import type { BindPlan } from "./plan.ts";

/**
 * Makes the plan of a threshold out of its children's: each is prepared before a passphrase is
 * asked for, and each is finished.
 */
export function sssPlan(system: Pick<System, "random">, threshold: number, children: readonly BindPlan[]): BindPlan {
  return {
    target: targetOf(threshold, children),
    asked: "Each of them",
    isSameTarget: (binding) => isSameThreshold(binding, threshold, children),
    async prepare(volume) {
      const prepared: Awaited<ReturnType<BindPlan["prepare"]>>[] = [];
      for (const child of children) prepared.push(await child.prepare(volume)); // each may ask a person
      const seals = prepared.map(({ seal }) => seal);
      return {
        target: targetOf(threshold, prepared),
        seal: (passphrase) => sealToShares(system, threshold, seals, passphrase),
      };
    },
    async finish(volume) {
      for (const child of children) await child.finish(volume);
    },
    end: () => {
      for (const child of children) child.end?.();
    },
  };
}

function targetOf(threshold: number, children: readonly { readonly target: string }[]): string {
  return `${threshold} of [${children.map(({ target }) => target).join(", ")}]`;
}

/** Whether a binding asks for as many of the very same, in any order. */
function isSameThreshold(binding: Binding, threshold: number, children: readonly BindPlan[]): boolean {
  const shares = sharesOf(binding);
  if (shares?.threshold !== threshold || shares.children.length !== children.length) return false;
  const left = [...children];
  return shares.children.every((share) => {
    const place = left.findIndex((child) => child.isSameTarget(share));
    if (place !== -1) left.splice(place, 1);
    return place !== -1;
  });
}
