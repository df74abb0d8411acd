import { type CrypttabEntry, findOption, isNetworkVolume, mayFail } from "../../formats/crypttab.ts";
import { asksAgent, type CheckFacts, type VolumeFacts } from "./facts.ts";
import type { Finding } from "./finding.ts";

/** 40 random bytes in base64url, as clevis and bind make it (docs/format/latch.md). */
const BOUND_PASSPHRASE_BYTES = 54;

/** What a volume's line of crypttab and its header make of the next boot; not whether its bindings open it. */
export function judgeVolume(volume: VolumeFacts, facts: CheckFacts): Finding[] {
  const { entry, status, error } = volume;
  const found: Finding[] = [];
  const add = (finding: Omit<Finding, "subject">) => found.push({ subject: entry.volume, ...finding });
  if (error !== null) {
    add({
      code: "volume/unreadable",
      severity: "error",
      message: error.message,
      effect: "Nothing can open it as it is now.",
      remedy: error.remedy ?? `Check that the device is there: ls -l ${entry.device}`,
    });
  }
  if (asksAgent(volume, facts.agent)) found.push(...judgeAgentVolume(volume, facts));
  else judgeOther(volume, facts, add);
  if (status === null) return found;
  const passphrases = status.keyslots.used - tokenSlots(volume).size;
  if (passphrases <= 0) {
    add({
      code: "volume/no-passphrase",
      severity: "error",
      message: "every keyslot belongs to a binding or a token",
      effect: "When its servers and tokens are lost, nothing opens it any more.",
      remedy: `cryptsetup luksAddKey ${status.device}`,
    });
  }
  for (const text of status.leftovers) {
    add({
      code: "volume/leftovers",
      severity: "warning",
      message: text,
      effect: "The volume opens as before; what was left behind is not needed.",
      remedy: `The next bind or unbind clears it up, e.g.: nightlatch unbind ${status.device}`,
    });
  }
  for (const text of status.warnings) {
    add({
      code: "volume/header",
      severity: "warning",
      message: text,
      effect: "It opens now; the next damage may be the last.",
      remedy: `cryptsetup luksDump ${status.device}`,
    });
  }
  return found;
}

/** systemd's recovery key is typed by a person, like a passphrase. */
function tokenSlots({ status }: VolumeFacts): Set<number> {
  const bound = (status?.bindings ?? []).map(({ binding }) => binding.token);
  const others = (status?.others ?? []).filter(({ type }) => type !== "systemd-recovery");
  return new Set([...bound, ...others].flatMap(({ keyslots }) => keyslots));
}

function judgeAgentVolume(volume: VolumeFacts, facts: CheckFacts): Finding[] {
  const { entry, command, status } = volume;
  const found: Finding[] = [];
  const add = (finding: Omit<Finding, "subject">) => found.push({ subject: entry.volume, ...finding });
  const hasBinding = (status?.bindings ?? []).some(({ binding }) => binding.token.keyslots.length > 0);
  if (status !== null && command === null && !hasBinding) {
    add({
      code: "volume/no-binding",
      severity: "error",
      message: "the agent is asked for its key, and it has no binding and no command",
      effect: "It asks for the passphrase.",
      remedy: `nightlatch bind ${status.device} latch INVITE`,
    });
  }
  if (!isNetworkVolume(entry)) {
    add({
      code: "volume/no-netdev",
      severity: command === null ? "error" : "note", // only the user knows whether a command needs the network
      message: `its key comes ${command === null ? "over the network" : "from a command"}, and crypttab has no _netdev`,
      effect: "The boot waits for a key from the network before that is up, until the agent gives up.",
      remedy: lineRemedy(facts, entry, ["_netdev", ...(mayFail(entry) ? [] : ["nofail"])]),
    });
  } else if (!mayFail(entry)) {
    add({
      code: "volume/no-nofail",
      severity: "warning",
      message: "crypttab does not say that the boot may go on without it (nofail)",
      effect: "Without its key the boot waits at the passphrase prompt.",
      remedy: lineRemedy(facts, entry, ["nofail"]),
    });
  }
  judgeOptions(volume, facts, add);
  if (isOpenedByInitramfs(volume)) {
    add({
      code: "volume/initramfs",
      severity: "error",
      message: "the initramfs opens it, where no agent runs",
      effect: "It asks for the passphrase before the system starts.",
      remedy: "Install clevis-initramfs, which uses the same binding, and give it no key file in crypttab.",
    });
  }
  return found;
}

function isOpenedByInitramfs({ entry, mounts }: VolumeFacts): boolean {
  if (findOption(entry, "initramfs", "x-initrd.attach") !== undefined) return true;
  return mounts.some(({ target }) => target === "/" || target === "/usr");
}

const TOKEN_DEVICES = ["tpm2-device", "pkcs11-uri", "fido2-device"];

/** Options that mean something else, or nothing good, where the key file is a socket. */
function judgeOptions(volume: VolumeFacts, facts: CheckFacts, add: (finding: Omit<Finding, "subject">) => void): void {
  const { entry, command } = volume;
  const offset = findOption(entry, "keyfile-offset");
  const size = findOption(entry, "keyfile-size");
  const sizeBytes = Number(size?.value);
  if (offset !== undefined || (size !== undefined && (command !== null || !(sizeBytes >= BOUND_PASSPHRASE_BYTES)))) {
    const option = offset ?? size;
    add({
      code: "volume/keyfile-option",
      severity: offset === undefined && command !== null ? "warning" : "error",
      message: `${option?.name}=${option?.value ?? ""} cuts what the agent sends`,
      effect: "systemd takes another key for the right one, which opens nothing.",
      remedy: lineRemedy(facts, entry, [], ["keyfile-offset", "keyfile-size"]),
    });
  }
  const headless = findOption(entry, "headless");
  if (headless !== undefined && !["0", "no", "false", "off"].includes(headless.value ?? "yes")) {
    add({
      code: "volume/headless",
      severity: "warning",
      message: "headless= forbids the passphrase prompt",
      effect: "When no key comes, the volume fails and nobody is asked.",
      remedy: lineRemedy(facts, entry, [], ["headless"]),
    });
  }
  const device = findOption(entry, ...TOKEN_DEVICES);
  if (device !== undefined) {
    add({
      code: "volume/token-device",
      severity: "error",
      message: `with ${device.name}= systemd asks the socket for something encrypted, which the agent refuses`,
      effect: "It asks for the passphrase.",
      remedy: lineRemedy(facts, entry, [], TOKEN_DEVICES),
    });
  }
}

function judgeOther(volume: VolumeFacts, facts: CheckFacts, add: (finding: Omit<Finding, "subject">) => void): void {
  const { entry, key, status, command } = volume;
  if (key !== null && key.kind === null && key.path.startsWith("/run/nightlatch/")) {
    add({
      code: "volume/no-key",
      severity: "error",
      message: `crypttab names ${key.path}, where nothing is`,
      effect: "It asks for the passphrase.",
      remedy: lineRemedy(facts, entry, [], [], facts.agent.socketPath),
    });
    return;
  }
  const bound = (status?.bindings ?? []).some(({ binding }) => binding.kind === "latch") || command !== null;
  if (key === null && bound) {
    add({
      code: "volume/binding-unused",
      severity: "warning",
      message: "it is bound, or has a command, and crypttab names no key file",
      effect: "It asks for the passphrase, unless clevis answers for it.",
      remedy: lineRemedy(facts, entry, ["_netdev", "nofail"], [], facts.agent.socketPath),
    });
  }
}

/** The line as it should be. */
function lineRemedy(
  { crypttab }: CheckFacts,
  entry: CrypttabEntry,
  adds: readonly string[],
  removes: readonly string[] = [],
  key = entry.key ?? "none",
): string {
  const kept = entry.options.filter(
    ({ name }) => !removes.includes(name) && !(name === "fail" && adds.includes("nofail")),
  );
  const texts = kept.map(({ name, value }) => (value === null ? name : `${name}=${escapeOption(value)}`));
  const added = adds.filter((name) => !texts.includes(name));
  const options = [...texts, ...added].join(",") || "luks";
  return `Line ${entry.line} of ${crypttab.path} should be: ${entry.volume} ${entry.device} ${key} ${options}`;
}

function escapeOption(value: string): string {
  return value.replaceAll(/[\\,]/g, "\\$&");
}
