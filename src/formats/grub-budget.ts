import { NightlatchError } from "../core/errors.ts";

const MAX_STEPS = 200_000;

/** What a menu's run shares with its submenus' and entries'. */
export class Budget {
  steps = 0;
  entries = 0;
  sourceDepth = 0;
  readonly saved = new Map<string, string>();
  spend(): void {
    if (++this.steps > MAX_STEPS) throw malformed(`takes more than ${MAX_STEPS} steps`);
  }
}

export function malformed(how: string): NightlatchError {
  return new NightlatchError("grub/malformed", `the GRUB configuration ${how}`);
}
