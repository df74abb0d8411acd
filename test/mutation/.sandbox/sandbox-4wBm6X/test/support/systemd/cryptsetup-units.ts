/**
 * What systemd's own generator makes of a crypttab in the running system, without a plan around it.
 */
// @ts-nocheck

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const GENERATOR = "/usr/lib/systemd/system-generators/systemd-cryptsetup-generator";

/** All texts are latin1, a character a byte. */
export interface GeneratedUnit {
  readonly name: string;
  readonly device: string;
  readonly key: string;
  readonly options: string;
  /** The target that starts it; null where none does. */
  readonly target: string | null;
  /** Whether that target fails with it. */
  readonly isRequired: boolean;
  /** Whether it is ordered before that target. */
  readonly isAwaited: boolean;
}

export interface Generated {
  readonly units: readonly GeneratedUnit[];
  /** False where the generator gave up. */
  readonly isWhole: boolean;
}

export function generateUnits(crypttab: string, cmdline = "quiet"): Generated {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-units-"));
  try {
    const out = join(folder, "out");
    mkdirSync(out);
    const file = join(folder, "crypttab");
    writeFileSync(file, crypttab, "latin1");
    const env = {
      SYSTEMD_IN_INITRD: "0",
      SYSTEMD_CRYPTTAB: file,
      SYSTEMD_PROC_CMDLINE: cmdline,
      RUNTIME_DIRECTORY: join(folder, "run"),
      SYSTEMD_LOG_TARGET: "null",
    };
    const { status } = spawnSync(GENERATOR, [out, out, out], { env });
    const units = readdirSync(out).filter((name) => /^systemd-cryptsetup@.*\.service$/.test(name));
    return { units: units.flatMap((unit) => readUnit(out, unit, folder)), isWhole: status === 0 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readUnit(out: string, unit: string, folder: string): GeneratedUnit[] {
  const text = readFileSync(join(out, unit), "latin1");
  const pattern = /^ExecStart=\S+ attach '([^\n]*)' '([^\n]*)' '([^\n]*)' '([^\n]*)'$/m;
  const [, name, device, key, options] = (pattern.exec(text) ?? []).map((part) => part.replaceAll("%%", "%"));
  // It opens the file first, and may fail before it has written all of it.
  // What the command line alone lists has no line of crypttab.
  if (text.includes("SourcePath=/proc/cmdline\n")) return [];
  if (name === undefined || device === undefined || key === undefined || options === undefined) return [];
  const links = readdirSync(out).flatMap((place) => {
    const [, target, kind] = /^((?:remote-)?cryptsetup\.target)\.(wants|requires)$/.exec(place) ?? [];
    if (target === undefined || !readdirSync(join(out, place)).includes(unit)) return [];
    return [{ target, isRequired: kind === "requires" }];
  });
  const [link] = links;
  const isAwaited = /^Before=(?:remote-)?cryptsetup\.target$/m.test(text);
  const own = key.startsWith(folder) ? key.slice(folder.length) : key;
  return [
    { name, device, key: own, options, target: link?.target ?? null, isRequired: link?.isRequired === true, isAwaited },
  ];
}
