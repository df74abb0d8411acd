// @ts-nocheck
import { type CrypttabEdit, findOption } from "../../formats/systemd/crypttab.ts";
import type { CheckFacts, EarlyFacts, VolumeFacts } from "./facts.ts";
import { type Finding, type FindingCode, findingsOf } from "./finding.ts";
import { crypttabStep, EARLY_EDIT, fstabStep } from "./lines.ts";

/**
 * Judges a volume that the initramfs opens: no agent runs there, and what opens it by itself is
 * clevis.
 */
export function judgeEarly(facts: CheckFacts, volume: VolumeFacts, early: EarlyFacts): Finding[] {
  return [
    ...judgeKey(facts, volume, early),
    ...judgeMounts(facts, volume),
    ...judgeInitramfs(facts, volume, early),
    ...judgeLacks(volume, early),
    ...judgeDeadline(volume, early),
  ];
}

/**
 * An initramfs-tools that finds a key it cannot copy leaves the volume out, and with it the prompt.
 */
function judgeKey(facts: CheckFacts, volume: VolumeFacts, { why, isNeeded }: EarlyFacts): Finding[] {
  const { entry } = volume;
  if (entry.key !== facts.agentSocket) return [];
  const { error } = findingsOf(entry.volume);
  const then = isNeeded
    ? "an initramfs that is made with this line may leave the volume out, and the machine does not start any more"
    : "the passphrase is asked for";
  return [
    error(
      "check/initramfs",
      `the initramfs opens it (${why}), where no agent runs: ${then}`,
      withRebuild(facts, crypttabStep(facts, volume, EARLY_EDIT)),
    ),
  ];
}

/**
 * systemd-fstab-generator orders a network mount behind the network, and everything else behind the
 * root.
 */
function judgeMounts(facts: CheckFacts, { entry, mounts }: VolumeFacts): Finding[] {
  const { error } = findingsOf(entry.volume);
  const late = ["_netdev", "nofail"];
  return mounts
    .filter(
      ({ target, options }) => (target === "/" || target === "/usr") && late.some((word) => options.includes(word)),
    )
    .map((mount) => {
      const words = late.filter((word) => mount.options.includes(word)).join(",");
      const text = `${mount.target} is mounted before there is a network, and nothing starts without it: ${words} do not belong there`;
      return error("check/root-netdev", text, fstabStep(facts, mount, { without: late }));
    });
}

function judgeInitramfs(
  facts: CheckFacts,
  volume: VolumeFacts,
  { why, isNeeded, boot, unknown }: EarlyFacts,
): Finding[] {
  const { entry, bindings } = volume;
  const { error, warning } = findingsOf(entry.volume);
  if (boot === null) {
    const { what = "", remedy = "" } = unknown ?? {};
    const text = `the initramfs opens it (${why}), and what is in that cannot be told here: ${what}`;
    return [warning("check/initramfs-unknown", text, remedy)];
  }
  if (boot.opensIt) {
    if (boot.keyscript === null || bindings.length === 0) return [];
    const text = `the initramfs opens it by its keyscript ${boot.keyscript}; whether that uses its bindings cannot be told here`;
    return [warning("check/initramfs-unknown", text, "see after the next boot whether it asked")];
  }
  // What has to be mended first, with the same command, says it.
  if (entry.key === facts.agentSocket) return [];
  const text = `the initramfs of ${boot.title} does not open it`;
  if (isNeeded) {
    return [error("check/initramfs-missing", `${text}, and ${why}: the next boot does not find it`, boot.remedy)];
  }
  const mark = uselessMark(facts, volume);
  const remedy = mark === null ? boot.remedy : crypttabStep(facts, volume, mark);
  return [warning("check/initramfs-missing", `${text}, although ${why}: systemd opens it, later`, remedy)];
}

/**
 * Each generator has a mark of its own: cryptsetup-initramfs `initramfs`, dracut `x-initrd.attach`.
 */
function uselessMark({ mending }: CheckFacts, { entry }: VolumeFacts): CrypttabEdit | null {
  const [own, other] =
    mending?.program === "initramfs-tools" ? ["initramfs", "x-initrd.attach"] : ["x-initrd.attach", "initramfs"];
  if (findOption(entry, own) !== undefined || findOption(entry, other) === undefined) return null;
  return { without: [other] };
}

/**
 * Of the first binding that opens the volume now; where one of them lacks nothing, nothing is
 * wrong.
 */
function judgeLacks({ entry, bindings }: VolumeFacts, { boot }: EarlyFacts): Finding[] {
  if (boot === null || !boot.opensIt || boot.keyscript !== null) return [];
  const { error } = findingsOf(entry.volume);
  // One that does not open now may do so at the next boot: what its way lacks is told all the same.
  const candidates = bindings.filter(({ opens }) => opens !== null || bindings.every((one) => one.opens === null));
  const opening = candidates.filter(({ opens }) => opens === true);
  const considered = opening.length > 0 ? opening : candidates;
  if (considered.some(({ lacks }) => lacks.length === 0)) return [];
  const [first] = considered;
  return (first?.lacks ?? []).map(({ code, what, remedy }) =>
    error(`check/initramfs-${code}` satisfies FindingCode, `${what}: the passphrase is asked for`, remedy),
  );
}

/** Told once clevis is there at all: what puts that in mends this too. */
function judgeDeadline({ entry, bindings }: VolumeFacts, { boot }: EarlyFacts): Finding[] {
  if (boot === null || !boot.opensIt || boot.deadline === null) return [];
  const asks = bindings.some(
    ({ asksNetwork, lacks }) => asksNetwork && !lacks.some(({ code }) => code === "clevis" || code === "stack"),
  );
  const { warning } = findingsOf(entry.volume);
  return asks ? [warning("check/initramfs-deadline", boot.deadline.what, boot.deadline.remedy)] : [];
}

function withRebuild({ mending }: CheckFacts, step: string): string {
  return `${step}\n${mending?.rebuild ?? "make the initramfs anew, by the program that makes it here"}`;
}
