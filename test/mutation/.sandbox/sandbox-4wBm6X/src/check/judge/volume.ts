// @ts-nocheck
import { shellWord } from "../../core/text.ts";
import { isInBoot, isLeftClosed, startOf } from "../../formats/systemd/boot-start.ts";
import { type CrypttabEdit, findOption, isNetworkVolume, mayFail } from "../../formats/systemd/crypttab.ts";
import { type FstabEntry, isStarted, targetsOf } from "../../formats/systemd/fstab.ts";
import { judgeBindings, latchWords } from "./bindings.ts";
import { judgeEarly } from "./early.ts";
import type { CheckFacts, VolumeFacts } from "./facts.ts";
import { type Finding, findingsOf } from "./finding.ts";
import {
  agentEdit,
  asksNetwork,
  clevisEdit,
  crypttabStep,
  EARLY_EDIT,
  fstabStep,
  givesUpEarly,
  isWrongSlot,
  MOUNT_WAITS_MS,
  mountOptions,
  TOKEN_DEVICES,
} from "./lines.ts";

/** Judges one line of crypttab, and the volume behind it. */
export function judgeVolume(facts: CheckFacts, volume: VolumeFacts): Finding[] {
  if (volume.error !== null) return [...unreadable(facts, volume), ...judgeStart(facts, volume)];
  return [
    ...judgeStart(facts, volume),
    ...judgeWay(facts, volume),
    ...judgeBindings(facts, volume),
    ...judgeHeader(volume),
  ];
}

/** How its key comes: in the initramfs, from the agent, from clevis, or by a key of its own. */
function judgeWay(facts: CheckFacts, volume: VolumeFacts): Finding[] {
  const { entry, early } = volume;
  if (early !== null) return [...judgeEarly(facts, volume, early), ...judgeKey(facts, volume)];
  if (entry.key === facts.agentSocket) return judgeAsked(facts, volume);
  return isAnswered(facts, volume) ? judgeAnswerer(facts, volume) : judgeKey(facts, volume);
}

/** Of a volume whose every binding is such. */
export const BY_PERSON = "what it is bound to opens by a PIN alone, which a person types to nightlatch unlock";

/** Whether stock clevis, when systemd asks for the passphrase, types what a binding gives. */
export function isAnswered({ clevisAnswers }: CheckFacts, { entry, early, bindings }: VolumeFacts): boolean {
  return clevisAnswers && early === null && entry.key === null && bindings.some(({ needsPerson }) => !needsPerson);
}

/**
 * Judges a volume whose passphrase clevis types, for one that is opened after the initramfs.
 * Crypttab alone does not tell that.
 */
export function judgeAnswered(facts: CheckFacts, volume: VolumeFacts): Finding[] {
  if (volume.error !== null) return unreadable(facts, volume);
  return [...judgeAnswerer(facts, volume), ...judgeBindings(facts, volume)];
}

/** Whether anything starts it, however its key comes. */
function judgeStart(facts: CheckFacts, volume: VolumeFacts): Finding[] {
  const { entry, early } = volume;
  if (early !== null) return [];
  const { error, warning } = findingsOf(entry.volume);
  const { by, why } = startOf(facts, volume);
  const code = "check/nobody-starts";
  if (by === "unheard") {
    const remedy =
      "take that off the kernel command line; rd.luks. in the place of luks. speaks to the initramfs alone";
    return [error(code, `${why}: systemd does not open it`, remedy)];
  }
  if (by === "unsure")
    return [warning(code, `it cannot be told whether anything starts it: ${why}`, "correct that line")];
  if (by !== "nobody") return [];
  const text =
    "is _netdev, no line of fstab mounts /dev/mapper/" +
    `${entry.volume}, and remote-cryptsetup.target is not enabled: nothing starts it, and it stays closed`;
  return [error(code, text, ENABLE_REMOTE)];
}

const ENABLE_REMOTE = "systemctl enable remote-cryptsetup.target";

function judgeAnswerer(facts: CheckFacts, volume: VolumeFacts): Finding[] {
  const { error } = findingsOf(volume.entry.volume);
  const edit = clevisEdit(facts, volume);
  const findings = judgeNetwork(facts, volume, edit);
  if (isHeadless(volume)) {
    const text = "headless= is set: systemd asks for no passphrase, and clevis has nothing to answer";
    findings.push(error("check/headless", text, lineSteps(facts, volume, edit)));
  }
  return findings;
}

function judgeAsked(facts: CheckFacts, volume: VolumeFacts): Finding[] {
  const { entry, command, bindings, device } = volume;
  const { error, warning } = findingsOf(entry.volume);
  const findings: Finding[] = [];
  if (command === null && bindings.every(({ needsPerson }) => needsPerson)) {
    const text =
      bindings.length === 0
        ? "has no binding: the agent has nobody to ask, and the passphrase is asked for"
        : `the agent gets no key, and the passphrase is asked for: ${BY_PERSON}`;
    findings.push(error("check/no-binding", text, `nightlatch bind ${shellWord(device)} ${latchWords(facts)}`));
  }
  if (command !== null && !command.isThere) {
    const text = `its command ${command.program} is not there or cannot be run: the passphrase is asked for`;
    findings.push(error("check/no-command", text, `install ${command.program}, or correct ${facts.files.config}`));
  }
  const edit = agentEdit(facts, volume);
  findings.push(...judgeNetwork(facts, volume, edit), ...judgeMountTimeouts(facts, volume));
  const line = () => lineSteps(facts, volume, edit);
  const ownDevice = findOption(entry, ...TOKEN_DEVICES);
  if (ownDevice !== undefined) {
    const text = `with ${ownDevice.name}= systemd asks the agent for something encrypted, which it refuses: the passphrase is asked for`;
    findings.push(error("check/token-device", text, line()));
  }
  const cut = findOption(entry, "keyfile-size", "keyfile-offset");
  if (cut !== undefined && command === null) {
    const text = `${cut.name}= takes a part of what the agent sends, which opens nothing`;
    findings.push(error("check/key-cut", text, line()));
  }
  if (isWrongSlot(volume)) {
    const text = "key-slot= names no keyslot of a binding, so the agent's key is not tried on its own";
    findings.push(error("check/key-slot", text, line()));
  }
  if (isHeadless(volume)) {
    const text = "headless= is set: when the agent is refused nobody can type the passphrase, the volume stays closed";
    const without = { ...edit, without: [...(edit.without ?? []), "headless"] };
    const remedy = `keep it only if the machine has no console at all; else\n${lineSteps(facts, volume, without)}`;
    findings.push(warning("check/headless", text, remedy));
  }
  return findings;
}

/** The options of a volume whose key comes over the network, and of what is mounted from it. */
function judgeNetwork(facts: CheckFacts, volume: VolumeFacts, edit: CrypttabEdit): Finding[] {
  const { entry, mounts } = volume;
  if (!asksNetwork(volume) || isLeftClosed(startOf(facts, volume))) return [];
  const { error, warning } = findingsOf(entry.volume);
  const findings: Finding[] = [];
  const line = lineSteps(facts, volume, edit);
  if (!isNetworkVolume(entry)) {
    const then = mayFail(entry)
      ? "it is started before most networks are up: the passphrase is asked for where they take longer than the agent waits"
      : "the boot wants it open before most networks are up: it stops at the passphrase prompt";
    const text = `its key comes over the network, and without _netdev ${then}`;
    findings.push(error("check/no-netdev", text, line));
  } else {
    if (!mayFail(entry)) {
      findings.push(
        warning("check/no-nofail", "without nofail the boot is not complete while its server does not answer", line),
      );
    }
  }
  for (const mount of mounts) {
    const lacks = mountOptions(volume, mount, false);
    if (lacks.length === 0) continue;
    const remedy = mountStep(facts, volume, mount);
    if (lacks.includes("_netdev")) {
      const text = `${placeOf(mount)} is mounted as a local file system, before the network that its key needs: the boot ends in emergency mode`;
      findings.push(error("check/mount-no-netdev", text, remedy));
    } else {
      const text = `${placeOf(mount)} without nofail: what needs the file systems waits for it while its server does not answer`;
      findings.push(warning("check/mount-no-nofail", text, remedy));
    }
  }
  return findings;
}

function placeOf({ target, type, source }: FstabEntry): string {
  return type === "swap" ? `the swap on ${source}` : target;
}

function mountStep(facts: CheckFacts, volume: VolumeFacts, mount: FstabEntry): string {
  return fstabStep(facts, mount, { having: mountOptions(volume, mount, !isAnswered(facts, volume)) });
}

/** The line as it is to stand, and what starts a volume that it makes _netdev. */
function lineSteps(facts: CheckFacts, volume: VolumeFacts, edit: CrypttabEdit): string {
  const starts = edit.having?.includes("_netdev") === true ? startStep(facts, volume) : [];
  return [crypttabStep(facts, volume, edit), ...starts].join("\n");
}

/**
 * A _netdev volume is started by the mount that needs it, or by a target that Debian leaves
 * disabled.
 */
function startStep(facts: CheckFacts, volume: VolumeFacts): string[] {
  const { systemd } = facts;
  if (systemd === null || systemd.startsRemote || startOf(facts, volume).mount !== null) return [];
  return [ENABLE_REMOTE];
}

/** A key that comes after the mount has given up opens the volume, and nothing is mounted. */
function judgeMountTimeouts(facts: CheckFacts, volume: VolumeFacts): Finding[] {
  const { deadlineMs, mounts, entry } = volume;
  const { warning } = findingsOf(entry.volume);
  return mounts
    .filter((mount) => givesUpEarly(volume, mount))
    .map((mount) => {
      const waits = `waits ${MOUNT_WAITS_MS / 1000} s for the volume`;
      const text = `the agent tries for ${deadlineMs / 1000} s, and the mount of ${placeOf(mount)} ${waits}`;
      return warning("check/mount-timeout", text, mountStep(facts, volume, mount));
    });
}

/** Of a volume whose key is not the agent's to give. */
function judgeKey(facts: CheckFacts, volume: VolumeFacts): Finding[] {
  const { entry, bindings, hasKey, command, early } = volume;
  const { by } = startOf(facts, volume);
  // An automount opens it with nobody there, as a boot does.
  const isClosed = early === null && (by === "hand" || by === "unheard");
  // The third field is then a word for the script, whatever it says.
  if (findOption(entry, "keyscript") !== undefined || entry.key === facts.agentSocket || isClosed) return [];
  const { error, warning } = findingsOf(entry.volume);
  const canBeAsked = bindings.some(({ needsPerson }) => !needsPerson) || command !== null;
  if (hasKey === false) {
    const text = `${entry.key} is not there: the passphrase is asked for`;
    if (canBeAsked && early === null) return [error("check/no-key", text, agentSteps(facts, volume))];
    const line = crypttabStep(facts, volume, { key: "none", without: EARLY_EDIT.without?.filter(isOfKey) ?? [] });
    const rebuild = early === null || facts.mending === null ? [] : [facts.mending.rebuild];
    const remedy = [`put the key back; or, to be asked for the passphrase,`, line, ...rebuild].join("\n");
    return [error("check/no-key", text, remedy)];
  }
  const hasOwnDevice = findOption(entry, ...TOKEN_DEVICES) !== undefined;
  if (early !== null || entry.key !== null || !canBeAsked || hasOwnDevice) return [];
  const what = bindings.length > 0 ? "its bindings are" : "its command is";
  return [
    warning(
      "check/not-asked",
      `${what} not used by the agent, which crypttab does not name`,
      agentSteps(facts, volume),
    ),
  ];
}

const isOfKey = (option: string): boolean => option.startsWith("keyfile-");

/**
 * Words all the steps that it takes to have the agent asked. Half of them would be worse than none.
 */
export function agentSteps(facts: CheckFacts, volume: VolumeFacts): string {
  const mounts = volume.mounts.filter((mount) => mountOptions(volume, mount, true).length > 0);
  return [
    crypttabStep(facts, volume, agentEdit(facts, volume)),
    ...mounts.map((mount) => mountStep(facts, volume, mount)),
    ...(asksNetwork(volume) && !isLeftClosed(startOf(facts, volume)) ? startStep(facts, volume) : []),
  ].join("\n");
}

function judgeHeader({ entry, noPassphrase, device, leftovers, warnings }: VolumeFacts): Finding[] {
  const { warning } = findingsOf(entry.volume);
  return [
    ...(noPassphrase === null
      ? []
      : [
          warning(
            "check/no-passphrase",
            noPassphrase.text,
            noPassphrase.remedy ?? `nightlatch status ${shellWord(device)}`,
          ),
        ]),
    ...leftovers.map(({ text, remedy }) => warning("check/leftover", text, remedy)),
    ...warnings.map(({ text, remedy }) =>
      warning("check/header", text, remedy ?? `cryptsetup luksDump ${shellWord(device)}`),
    ),
  ];
}

/** A disk that the boot does not open need not be there. */
function unreadable(facts: CheckFacts, volume: VolumeFacts): Finding[] {
  const { entry, error: reason, device, early } = volume;
  const { error, warning } = findingsOf(entry.volume);
  const start = startOf(facts, volume);
  const byHand = early === null && isLeftClosed(start);
  if (reason?.code === "file/missing") {
    if (byHand) return [];
    if (early === null && !isInBoot(start) && start.by !== "unsure") return [];
    const waits = early !== null || stopsBoot(volume) ? "the boot waits for it and then stops" : "it stays closed";
    const remedy = `attach it, or take line ${entry.line} out of ${facts.files.crypttab}`;
    return [error("check/no-device", `${device} is not there: ${waits}`, remedy)];
  }
  const { message = "", code = "", remedy } = reason ?? {};
  const tell = byHand ? warning : error;
  return [tell("check/unreadable", `${message} [${code}]`, remedy ?? `see: cryptsetup luksDump ${shellWord(device)}`)];
}

/** Whether what every boot needs requires it: the local volumes, the local file systems. */
function stopsBoot({ entry, mounts }: VolumeFacts): boolean {
  const isLocal = !isNetworkVolume(entry) && !mayFail(entry);
  return (
    isLocal ||
    mounts.some((mount) => {
      const { targets, isRequired } = targetsOf(mount);
      return isStarted(mount) && isRequired && targets.includes("local-fs.target");
    })
  );
}

function isHeadless({ entry }: VolumeFacts): boolean {
  const option = findOption(entry, "headless");
  return option !== undefined && !/^(?:0|no|n|false|f|off)$/i.test(option.value ?? "yes");
}
