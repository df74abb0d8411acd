/**
 * Remedies that are lines of crypttab and fstab, or a unit to enable, over random machines: pasted,
 * the finding is gone, nothing that the owner wrote is lost, nothing else goes wrong, and systemd's
 * plan starts the volume.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Finding, FindingCode } from "../../../src/check/judge/finding.ts";
import { judge } from "../../../src/check/judge/judge.ts";
import { isInBoot } from "../../../src/formats/systemd/boot-start.ts";
import { claimsOf, disagreements, type MachineFiles } from "../../support/systemd/claims.ts";
import { fstabLine, SOCKET, uuidOf, volumes } from "../../support/systemd/grammar.ts";
import { noPlan, planBoot } from "../../support/systemd/plan.ts";

const VOLUMES = 8;
const numRuns = process.env["NIGHTLATCH_TEST_FULL"] ? 3000 : 150;
/** Of these the mended machine is planned as well, which takes a second. */
const numPlans = process.env["NIGHTLATCH_TEST_FULL"] ? 60 : 5;
const seed = Number(process.env["NIGHTLATCH_TEST_SEED"] ?? 20261128);
const REMOTE = "remote-cryptsetup.target";

/** Volumes whose key the agent gives, with an option or two too many, and what mounts them. */
const asked = (index: number) =>
  fc
    .tuple(
      fc.constantFrom(SOCKET, SOCKET, SOCKET, "none", "/etc/keys/gone.key"),
      fc.subarray(
        [
          ...["luks", "discard", "_netdev", "nofail", "fail", "x-systemd.device-timeout=30s", "tries=1", "x-own=1"],
          ...["headless=1", "key-slot=9", "keyfile-size=64", "tpm2-device=auto", "noauto", "readonly", "x-own=a\\,b"],
        ],
        { minLength: 1 },
      ),
      fc.array(fstabLine(index, `v${index}`, VOLUMES - 1), { maxLength: 1 }),
      fc.constantFrom("", " # by hand", " # schl\xfcssel", "\t"),
    )
    .map(([key, words, mounts, rest]) => ({
      index,
      line: `v${index} UUID=${uuidOf(index)} ${key} ${words.join(",")}${rest}`,
      mounts,
    }));

const machines = fc
  .tuple(
    fc.tuple(...Array.from({ length: VOLUMES }, (_, index) => asked(index))),
    volumes(VOLUMES),
    fc.boolean(),
    fc.boolean(),
  )
  .map(([own, odd, isOdd, startsRemote]): MachineFiles => {
    const all = isOdd ? odd : own;
    const lines = (texts: readonly string[]) => Buffer.from(texts.map((text) => `${text}\n`).join(""), "latin1");
    const mounts = lines(all.flatMap((volume) => volume.mounts));
    return { crypttab: lines(all.map(({ line }) => line)), fstab: mounts, startsRemote, cmdline: "quiet" };
  });

/** Sentences before the step that they explain. */
const EXPLAINS = /^(?:keep it only if|put the key back)/;

/** The machine after it; null where a step is not for these files. */
export function applyRemedy(files: MachineFiles, remedy: string): MachineFiles | null {
  let after = files;
  for (const step of remedy.split("\n")) {
    if (EXPLAINS.test(step)) continue;
    const [, number, file, text = ""] = /^line (\d+) of \/etc\/(crypttab|fstab): (.*)$/.exec(step) ?? [];
    if (file === "crypttab" || file === "fstab") {
      const lines = after[file].toString("latin1").split("\n");
      const pasted = lines.with(Number(number) - 1, Buffer.from(text).toString("latin1"));
      after = { ...after, [file]: Buffer.from(pasted.join("\n"), "latin1") };
    } else if (step === `systemctl enable ${REMOTE}`) after = { ...after, startsRemote: true };
    else return null;
  }
  return after;
}

/** Options that a finding is about, which its remedy may take out. */
const ABOUT: Partial<Readonly<Record<FindingCode, RegExp>>> = {
  "check/token-device": /^(?:tpm2-device|fido2-device|pkcs11-uri)=/,
  "check/key-cut": /^keyfile-(?:size|offset)=/,
  "check/key-slot": /^key-slot=/,
  "check/headless": /^headless/,
  "check/no-netdev": /^fail/,
  "check/no-nofail": /^fail/,
};
/** Of a volume that is given to the agent, all that would keep it from answering. */
const ALL = /^(?:tpm2-device=|fido2-device=|pkcs11-uri=|keyfile-(?:size|offset)=|key-slot=|fail)/;

function keepsOwn(before: MachineFiles, after: MachineFiles, findings: readonly Finding[]): void {
  for (const file of ["crypttab", "fstab"] as const) {
    const [old, now] = [before, after].map((files) => files[file].toString("latin1").split("\n"));
    assert.equal(old?.length, now?.length);
    for (const [index, line] of (old ?? []).entries()) {
      const pasted = now?.[index] ?? "";
      if (line === pasted) continue;
      const [was, is] = [line, pasted].map((text) => text.split(/[ \t\v\f\r]+/).filter(Boolean));
      const isCrypttab = file === "crypttab";
      const fixed = isCrypttab ? [0, 1] : [0, 1, 2];
      for (const field of fixed) assert.equal(is?.[field], was?.[field], `${line}\n${pasted}`);
      assert.deepEqual(is?.slice(4), was?.slice(4), `what follows the options: ${line}\n${pasted}`);
      const volume = was?.[0];
      const own = findings.filter(({ subject }) => Buffer.from(subject).toString("latin1") === volume);
      const mayGo = (option: string) =>
        ["", "defaults", "none", "-"].includes(option) ||
        own.some(({ code }) => ABOUT[code]?.test(option) === true) ||
        (own.some(({ code }) => code === "check/not-asked" || code === "check/no-key") && ALL.test(option));
      const words = (fields: readonly string[] | undefined) => (fields?.[3] ?? "").split(/(?<!\\),/);
      const lost = words(was).filter((option) => !words(is).includes(option) && !mayGo(option));
      assert.deepEqual(lost, [], `options are gone: ${line}\n${pasted}`);
    }
  }
}

/**
 * How many of one code there are about one subject: a volume may have several mounts. What was an
 * error may be in doubt afterwards, by another line's fault.
 */
function countOf(findings: readonly Finding[], { code, subject, severity }: Finding): number {
  return findings.filter((one) => one.code === code && one.subject === subject && one.severity === severity).length;
}

/** @returns how many findings had a remedy of ours */
function tryRemedies(files: MachineFiles, judged = judge): number {
  const { facts } = claimsOf(files);
  const findings = judged(facts);
  // A target that is enabled starts others as well, whose own faults are told then.
  const wasInBoot = (subject: string) => isInBoot(facts.starts.get(subject) ?? { by: "target", mount: null, why: "" });
  let count = 0;
  for (const finding of findings) {
    const after = applyRemedy(files, finding.remedy);
    if (after === null) continue;
    count++;
    keepsOwn(files, after, findings);
    const now = judged(claimsOf(after).facts);
    const told = `${finding.code} ${finding.subject}: ${finding.text}\n${finding.remedy}`;
    assert.ok(countOf(now, finding) < countOf(findings, finding), `${told}\nis still there`);
    const others = now.filter(
      (one) =>
        one.severity === "error" &&
        countOf(now, one) > countOf(findings, one) &&
        (one.subject === finding.subject || wasInBoot(one.subject)),
    );
    assert.deepEqual(others, [], `${told}\nbrings another error`);
  }
  return count;
}

test("a remedy that is pasted mends what it is for, and harms nothing", (t) => {
  let count = 0;
  fc.assert(
    fc.property(machines, (files) => {
      count += tryRemedies(files);
    }),
    { numRuns, seed, endOnFailure: !process.env["NIGHTLATCH_TEST_SHRINK"] },
  );
  t.diagnostic(`seed ${seed}: ${numRuns} machines, ${count} remedies pasted, no disagreement`);
  assert.ok(count > numRuns, "remedies were tried");
});

/** As somebody does who follows check until it has nothing more to print. */
function mendAll(files: MachineFiles): MachineFiles {
  let mended = files;
  for (let round = 0; round < 40; round++) {
    const before = mended;
    const next = judge(claimsOf(before).facts)
      .map(({ remedy }) => applyRemedy(before, remedy))
      .find((after) => after !== null);
    if (next === undefined || next === null) return mended;
    mended = next;
  }
  throw new assert.AssertionError({ message: "there is no end of remedies" });
}

test("when all remedies are pasted, systemd starts what we say, and what the boot is to start", {
  skip: noPlan,
}, (t) => {
  let started = 0;
  fc.assert(
    fc.property(machines, (files) => {
      const mended = mendAll(files);
      const { startsRemote, ...rest } = mended;
      const plan = planBoot({ ...rest, enabled: startsRemote ? [REMOTE] : [] });
      if (plan.cycles.length > 0) return;
      const claims = claimsOf(mended);
      assert.deepEqual(disagreements(claims, plan), [], `${mended.crypttab}\n${mended.fstab}`);
      for (const { entry, start, findings } of claims.claims) {
        assert.ok(
          !findings.some(({ code, severity }) => severity === "error" && code === "check/nobody-starts"),
          entry.volume,
        );
        if (isInBoot(start)) started++;
      }
    }),
    { numRuns: numPlans, seed, endOnFailure: true },
  );
  t.diagnostic(`seed ${seed}: ${numPlans} machines mended and planned, ${started} volumes started, no disagreement`);
});

/**
 * One network volume without _netdev, which nothing but remote-cryptsetup.target would start then.
 */
const BROKEN: MachineFiles = {
  crypttab: Buffer.from(`v0 UUID=1 ${SOCKET} luks,discard # by hand\n`),
  fstab: Buffer.from("UUID=2 /srv ext4 _netdev,nofail 0 2\n"),
  startsRemote: false,
  cmdline: "quiet",
};

/** Remedies with a fault. */
const FAULTS: readonly (readonly [what: string, spoil: (remedy: string) => string])[] = [
  ["loses an option", (remedy) => remedy.replace(",discard", "")],
  ["loses a remark", (remedy) => remedy.replace(" # by hand", "")],
  ["loses the device as it is written", (remedy) => remedy.replace("UUID=1", "/dev/disk/by-uuid/1")],
  ["mends half of it", (remedy) => remedy.replace("_netdev,", "")],
  ["leaves the volume to nobody", (remedy) => remedy.split("\n")[0] ?? ""],
];

for (const [what, spoil] of FAULTS) {
  test(`a remedy that ${what} is seen`, () => {
    assert.equal(tryRemedies(BROKEN), 1);
    const spoiled = (facts: Parameters<typeof judge>[0]) =>
      judge(facts).map((finding) => ({ ...finding, remedy: spoil(finding.remedy) }));
    assert.throws(() => tryRemedies(BROKEN, spoiled), assert.AssertionError);
  });
}
