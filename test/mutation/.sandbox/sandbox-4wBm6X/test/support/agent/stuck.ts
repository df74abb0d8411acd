/**
 * Files whose reads never return, as those of a dying disk: fanotify(7) asks this process for each,
 * and it never answers.
 */
// @ts-nocheck

import { closeSync } from "node:fs";
import { libcFunction } from "../../../src/system/native/native.ts";

const FAN_CLASS_CONTENT = 0x4;
const FAN_CLOEXEC = 0x1;
const FAN_MARK_ADD = 0x1;
const FAN_ACCESS_PERM = 0x20000;
const AT_FDCWD = -100;

/** Until it is disposed; the reads then go on. @throws Error where the kernel does not let us */
export function holdReads(paths: readonly string[]): Disposable {
  const group = libcFunction("int fanotify_init(unsigned int, unsigned int)")(FAN_CLASS_CONTENT | FAN_CLOEXEC, 0);
  if (group < 0) throw new Error("no fanotify");
  const mark = libcFunction("int fanotify_mark(int, unsigned int, unsigned long, int, void *)");
  for (const path of paths) {
    if (mark(group, FAN_MARK_ADD, FAN_ACCESS_PERM, AT_FDCWD, Buffer.from(`${path}\0`)) !== 0) {
      closeSync(group);
      throw new Error(`reads of ${path} cannot be held`);
    }
  }
  let held = true;
  return {
    [Symbol.dispose]: () => {
      if (held) closeSync(group);
      held = false;
    },
  };
}

/** Why reads cannot be held here, or false. */
export const noHolding: string | false = (() => {
  try {
    using _ = holdReads([import.meta.filename]);
    return false;
  } catch {
    return "fanotify with permission events wants root and CONFIG_FANOTIFY_ACCESS_PERMISSIONS";
  }
})();
