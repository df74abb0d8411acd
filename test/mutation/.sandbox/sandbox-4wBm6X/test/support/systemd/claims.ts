/**
 * What we say of a machine's volumes, from its files, and where systemd's plan of the boot says
 * otherwise.
 */
// @ts-nocheck

import assert from "node:assert/strict";
import type { CheckFacts, VolumeFacts } from "../../../src/check/judge/facts.ts";
import type { Finding } from "../../../src/check/judge/finding.ts";
import { judge } from "../../../src/check/judge/judge.ts";
import { foretell, type Outlook } from "../../../src/check/judge/outlook.ts";
import { findStarts, isInBoot, type Start } from "../../../src/formats/systemd/boot-start.ts";
import {
  type Crypttab,
  type CrypttabEntry,
  devicePathOf,
  parseCrypttab,
} from "../../../src/formats/systemd/crypttab.ts";
import { hearCrypttab } from "../../../src/formats/systemd/crypttab-heard.ts";
import { isLuksVolume, placeOf } from "../../../src/formats/systemd/crypttab-places.ts";
import { mountsMapping, parseFstab, takenMounts } from "../../../src/formats/systemd/fstab.ts";
import { BINDING, machine, SYSTEMD, volume } from "../machine-facts.ts";
import { KEY_FILE, SOCKET } from "./grammar.ts";
import { type BootPlan, unitOf } from "./plan.ts";

export interface MachineFiles {
  readonly crypttab: Buffer;
  readonly fstab: Buffer;
  readonly startsRemote: boolean;
  readonly cmdline: string;
}

/** What a fault can be planted in. */
export interface Readers {
  readonly parse: typeof parseCrypttab;
  readonly starts: typeof findStarts;
}

export const READERS: Readers = { parse: parseCrypttab, starts: findStarts };

export interface Claim {
  readonly entry: CrypttabEntry;
  readonly start: Start;
  readonly outlook: Outlook;
  readonly findings: readonly Finding[];
}

export interface Claims {
  readonly facts: CheckFacts;
  readonly crypttab: Crypttab;
  readonly claims: readonly Claim[];
}

/**
 * The agent runs, its server answers, every LUKS volume has a binding; /etc/keys/there.key is a
 * file.
 */
export function claimsOf(files: MachineFiles, { parse, starts: find }: Readers = READERS): Claims {
  const { startsRemote, cmdline } = files;
  const read = parse(files.crypttab);
  const { crypttab } = hearCrypttab(read, cmdline);
  const mounts = parseFstab(files.fstab);
  const starts = find({ crypttab: read, mounts, startsRemote, cmdline });
  const volumes = crypttab.entries.map((entry): VolumeFacts => {
    const place = entry.key === null ? null : placeOf(entry.key);
    const hasKey = place === null || place.device !== null ? null : kindOf(entry.key) !== null;
    const own = takenMounts(mounts).filter((mount) => mountsMapping(mount, entry.volume));
    const bindings = isLuksVolume(entry) ? [BINDING] : [];
    return { ...volume(), entry, device: devicePathOf(entry.device), hasKey, mounts: own, bindings };
  });
  const checked = volumes.filter(({ entry }) => isLuksVolume(entry));
  const around = { systemd: { ...SYSTEMD, startsRemote }, starts, crypttabFaults: read.faults };
  const facts = machine({ ...around, volumes: checked });
  const findings = judge(facts);
  return {
    facts,
    crypttab: read,
    claims: volumes.map((one) => {
      const { entry } = one;
      const kind = kindOf(entry.key);
      const key = entry.key === null || kind === null ? null : { path: entry.key, kind };
      const outlook = foretell({ ...facts, volumes: [one] }, one, { program: null, key });
      const start = starts.get(entry.volume);
      assert.ok(start !== undefined);
      return { entry, start, outlook, findings: findings.filter(({ subject }) => subject === entry.volume) };
    }),
  };
}

function kindOf(key: string | null): "file" | "socket" | "other" | null {
  if (key === null || /gone|^cryptvols$|^\/m\/|^\/etc\/keys\/a:b$/.test(key)) return null;
  if (key === SOCKET || key === "/run/other.sock") return "socket";
  return key === KEY_FILE ? "file" : "other";
}

/** Where a claim is not what the plan says. */
export function disagreements({ claims }: Claims, { jobs, commands }: BootPlan): string[] {
  return claims.flatMap(({ entry, start, outlook, findings }) => {
    const latin1 = Buffer.from(entry.volume).toString("latin1");
    const unit = unitOf(latin1);
    const isStarted = jobs.has(unit);
    const wrong: string[] = [];
    const says = (what: string) => wrong.push(`${entry.fields.join(" ")}: ${what}; systemd starts it: ${isStarted}`);
    if (start.by !== "unsure" && isInBoot(start) !== isStarted) says(`started by ${start.by}`);
    if (outlook.will === "open" && !isStarted) says(outlook.text);
    if (outlook.will === "ask" && !isStarted) says(outlook.text);
    if (outlook.will === "closed" && isStarted) says(outlook.text);
    const nobody = findings.find(({ code, severity }) => code === "check/nobody-starts" && severity === "error");
    if (nobody !== undefined && isStarted) says(nobody.text);
    const stops = findings.find(({ text }) => /the boot (?:waits|stops|hangs|ends|wants)|emergency mode/.test(text));
    if (stops !== undefined && !isStarted && start.by !== "unsure") says(stops.text);
    if (outlook.will === "open" && isStarted) {
      const [, , name, device, key = ""] = commands.get(unit) ?? [];
      const called = [name, device, ["", "-"].includes(key) ? "none" : key];
      const meant = [entry.volume, devicePathOf(entry.device), entry.key ?? "none"];
      const bytes = meant.map((text) => Buffer.from(text).toString("latin1"));
      if (JSON.stringify(called) !== JSON.stringify(bytes)) {
        says(`opens by ${meant.join(" ")}, and systemd would call ${called.join(" ")}`);
      }
    }
    return wrong;
  });
}
