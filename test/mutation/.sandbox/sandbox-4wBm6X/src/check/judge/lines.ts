// @ts-nocheck
import { printable } from "../../core/text.ts";
import { isLeftClosed, startOf } from "../../formats/systemd/boot-start.ts";
import {
  type CrypttabEdit,
  editCrypttabLine,
  findOption,
  isNetworkVolume,
  mayFail,
} from "../../formats/systemd/crypttab.ts";
import { editFstabLine, type FstabEntry, isStarted } from "../../formats/systemd/fstab.ts";
import type { CheckFacts, VolumeFacts } from "./facts.ts";

/**
 * Tells what to change in a volume's line, so that the agent is asked for its key and its answer
 * comes in time.
 */
export function agentEdit(facts: CheckFacts, volume: VolumeFacts): CrypttabEdit {
  const { entry, command } = volume;
  const cut = command === null ? ["keyfile-size", "keyfile-offset"] : [];
  const network = networkEdit(facts, volume);
  return {
    ...(entry.key === facts.agentSocket ? {} : { key: facts.agentSocket }),
    without: [...TOKEN_DEVICES, ...cut, ...(isWrongSlot(volume) ? ["key-slot"] : []), ...(network.without ?? [])],
    having: network.having ?? [],
  };
}

/**
 * Tells what to change in a volume's line where clevis answers: it needs the options of a network
 * volume, and systemd has to ask at all.
 */
export function clevisEdit(facts: CheckFacts, volume: VolumeFacts): CrypttabEdit {
  const network = networkEdit(facts, volume);
  return { without: ["headless", ...(network.without ?? [])], having: network.having ?? [] };
}

/**
 * A key that comes over the network: the volume waits for that, and the boot not for the volume.
 */
function networkEdit(facts: CheckFacts, volume: VolumeFacts): CrypttabEdit {
  const { entry } = volume;
  if (!asksNetwork(volume) || isLeftClosed(startOf(facts, volume))) return {};
  const fails = mayFail(entry);
  return {
    without: fails ? [] : ["fail"],
    having: [...(isNetworkVolume(entry) ? [] : ["_netdev"]), ...(fails ? [] : ["nofail"])],
  };
}

/** Whether the agent's answer needs the network. */
export function asksNetwork({ bindings, command }: VolumeFacts): boolean {
  return command === null && bindings.some((binding) => binding.asksNetwork);
}

/** Options of crypttab that have systemd ask a chip or a card. */
export const TOKEN_DEVICES = ["tpm2-device", "pkcs11-uri", "fido2-device"];

/** Whether key-slot= names a keyslot that the agent's key does not open. */
export function isWrongSlot({ entry, bindings }: VolumeFacts): boolean {
  const slot = findOption(entry, "key-slot")?.value;
  return slot != null && !bindings.some(({ keyslots }) => keyslots.includes(Number(slot)));
}

/** How long a mount waits for its device: DefaultDeviceTimeoutSec= of systemd-system.conf(5). */
export const MOUNT_WAITS_MS = 90_000;

/** Whether a mount may give up before the agent does. */
export function givesUpEarly({ deadlineMs }: VolumeFacts, { options }: FstabEntry): boolean {
  const isBounded = (option: string) => option === "noauto" || option.startsWith("x-systemd.device-timeout=");
  return deadlineMs > MOUNT_WAITS_MS && !options.some(isBounded);
}

/**
 * Lists the options that a mount of the volume has to have.
 * @param byAgent whether it is the agent that opens it
 */
export function mountOptions(volume: VolumeFacts, mount: FstabEntry, byAgent: boolean): string[] {
  const isNetwork = asksNetwork(volume) && isStarted(mount);
  // Swap is no file system: nothing waits for it but its own target.
  const wanted = mount.type === "swap" ? ["nofail"] : ["_netdev", "nofail"];
  const timeout = `x-systemd.device-timeout=${Math.ceil(volume.deadlineMs / 1000) + 30}s`;
  return [
    ...(isNetwork ? wanted.filter((option) => !mount.options.includes(option)) : []),
    ...(byAgent && givesUpEarly(volume, mount) ? [timeout] : []),
  ];
}

/**
 * The change to the line of a volume that the initramfs opens: no agent, and none of the options of
 * a volume that may come late.
 */
export const EARLY_EDIT: CrypttabEdit = {
  key: "none",
  without: ["_netdev", "nofail", "fail", "keyfile-size", "keyfile-offset"],
};

/**
 * Words the step of a remedy that changes a line of crypttab: the whole line, or what to change in
 * one that cannot be printed as it is, and so would be pasted wrong.
 */
export function crypttabStep({ files }: CheckFacts, { entry }: VolumeFacts, edit: CrypttabEdit): string {
  const line = editCrypttabLine(entry, edit);
  if (isPlain(line)) return `line ${entry.line} of ${files.crypttab}: ${line}`;
  const words = [
    ...(edit.key === undefined ? [] : [`its third field ${edit.key}`]),
    ...(edit.having?.length ? [`with ${edit.having.join(", ")}`] : []),
    ...(edit.without?.length ? [`without ${edit.without.join(", ")}`] : []),
  ];
  return `edit line ${entry.line} of ${files.crypttab}: ${words.join("; ")}`;
}

/** Words the step of a remedy that changes a line of fstab, as crypttabStep. */
export function fstabStep({ files }: CheckFacts, mount: FstabEntry, edit: Parameters<typeof editFstabLine>[1]): string {
  const line = editFstabLine(mount, edit);
  if (isPlain(line)) return `line ${mount.line} of ${files.fstab}: ${line}`;
  const { having = [], without = [] } = edit;
  const words = [
    ...(having.length ? [`with ${having.join(",")}`] : []),
    ...(without.length ? [`without ${without.join(",")}`] : []),
  ];
  return `edit the options in line ${mount.line} of ${files.fstab}: ${words.join("; ")}`;
}

/** Whether it can be pasted: U+FFFD stands where a line is not UTF-8. */
function isPlain(line: string): boolean {
  return printable(line, LONGEST) === line && !line.includes("\ufffd");
}

/** A longer line would not be shown whole in a remedy. */
export const LONGEST = 8000;
