import { findOption, formatCrypttabLine, isNetworkVolume, mayFail } from "../formats/crypttab.ts";
import type { BindingFacts, CheckFacts, VolumeFacts } from "./facts.ts";
import type { Finding } from "./finding.ts";

/** What is wrong with one line of crypttab and the volume behind it. */
export function judgeVolume(facts: CheckFacts, volume: VolumeFacts): Finding[] {
  if (volume.error !== null) return [unreadable(volume)];
  const asked = volume.entry.key === facts.agentSocket;
  return [
    ...(asked ? judgeAsked(facts, volume) : judgeUnasked(facts, volume)),
    ...judgeBindings(volume),
    ...judgeHeader(volume),
  ];
}

/**
 * The same where stock clevis types, when systemd asks for the passphrase, what a binding gives. For a volume that is opened after the
 * initramfs, which crypttab alone does not tell.
 */
export function judgeAnswered(facts: CheckFacts, volume: VolumeFacts): Finding[] {
  if (volume.error !== null) return [unreadable(volume)];
  const { error } = findingsOf(volume);
  return [
    ...(asksNetwork(volume) ? judgeNetworkOptions(facts, volume) : []),
    ...(isHeadless(volume)
      ? [
          error(
            "check/headless",
            "headless= is set: systemd asks for no passphrase, and clevis has nothing to answer",
            `remove headless= from line ${volume.entry.line} of ${facts.files.crypttab}`,
          ),
        ]
      : []),
    ...judgeBindings(volume),
  ];
}

/** The path that the agent's answers take: whether it needs the network. */
export function asksNetwork({ bindings, command }: VolumeFacts): boolean {
  return command === null && bindings.some((binding) => binding.asksNetwork);
}

function judgeAsked(facts: CheckFacts, volume: VolumeFacts): Finding[] {
  const { entry, command, bindings } = volume;
  const { error, warning } = findingsOf(volume);
  const findings: Finding[] = [];
  if (command === null && bindings.length === 0) {
    findings.push(
      error(
        "check/no-binding",
        "has no binding: the agent has nobody to ask, and the passphrase is asked for",
        `nightlatch bind ${volume.device} latch INVITE`,
      ),
    );
  }
  if (command !== null && !command.isThere) {
    findings.push(
      error(
        "check/no-command",
        `its command ${command.program} is not there or cannot be run: the passphrase is asked for`,
        `install it, or correct ${facts.files.config}`,
      ),
    );
  }
  if (asksNetwork(volume)) findings.push(...judgeNetworkOptions(facts, volume));
  findings.push(...judgeMountTimeouts(facts, volume));
  if (isOpenedByInitramfs(volume)) {
    findings.push(
      error(
        "check/initramfs",
        "the initramfs opens it, where no agent runs: the passphrase is asked for",
        "install clevis-initramfs, which uses the same binding, and name no key for it in crypttab",
      ),
    );
  }
  const device = findOption(entry, "tpm2-device", "pkcs11-uri", "fido2-device");
  if (device !== undefined) {
    findings.push(
      error(
        "check/token-device",
        `with ${device.name}= systemd asks the agent for something encrypted, which it refuses: the passphrase is asked for`,
        `remove ${device.name}= from line ${entry.line} of ${facts.files.crypttab}`,
      ),
    );
  }
  const cut = findOption(entry, "keyfile-size", "keyfile-offset");
  if (cut !== undefined && command === null) {
    findings.push(
      error(
        "check/key-cut",
        `${cut.name}= takes a part of what the agent sends, which opens nothing`,
        `remove ${cut.name}= from line ${entry.line} of ${facts.files.crypttab}`,
      ),
    );
  }
  const slot = findOption(entry, "key-slot")?.value;
  if (slot != null && !bindings.some(({ keyslots }) => keyslots.includes(Number(slot)))) {
    findings.push(
      error(
        "check/key-slot",
        `key-slot=${slot} is not the keyslot of a binding, so the agent's key is not tried on its own`,
        `remove key-slot= from line ${entry.line} of ${facts.files.crypttab}`,
      ),
    );
  }
  if (isHeadless(volume)) {
    findings.push(
      warning(
        "check/headless",
        "headless= is set: when the agent is refused nobody can type the passphrase, the volume stays closed",
        "keep it only if the machine has no console at all",
      ),
    );
  }
  return findings;
}

function judgeNetworkOptions(facts: CheckFacts, volume: VolumeFacts): Finding[] {
  const { entry, mounts } = volume;
  const { error, warning } = findingsOf(volume);
  const findings: Finding[] = [];
  const line = formatCrypttabLine({
    volume: entry.volume,
    uuid: volume.uuid ?? "UUID",
    socket: facts.agentSocket,
    overNetwork: true,
  });
  if (!isNetworkVolume(entry)) {
    findings.push(
      error(
        "check/no-netdev",
        "its key comes over the network, and without _netdev the boot wants it open before most networks are up: it stops at the " +
          "passphrase prompt",
        `line ${entry.line} of ${facts.files.crypttab}: ${line}`,
      ),
    );
  } else if (!mayFail(entry)) {
    findings.push(
      warning(
        "check/no-nofail",
        "without nofail the boot is not complete while its server does not answer",
        `line ${entry.line} of ${facts.files.crypttab}: ${line}`,
      ),
    );
  }
  for (const mount of mounts.filter(({ options }) => !options.includes("noauto"))) {
    const lacks = ["_netdev", "nofail"].filter((option) => !mount.options.includes(option));
    if (lacks.length === 0) continue;
    const options = [...mount.options.filter((option) => option !== "defaults"), ...lacks].join(",");
    const isError = lacks.includes("_netdev");
    findings.push(
      (isError ? error : warning)(
        isError ? "check/mount-no-netdev" : "check/mount-no-nofail",
        isError
          ? `${mount.target} is mounted as a local file system, before the network that its key needs: the boot ends in emergency mode`
          : `${mount.target} without nofail: what needs the file systems waits for it while its server does not answer`,
        `line ${mount.line} of ${facts.files.fstab}, options: ${options}`,
      ),
    );
  }
  return findings;
}

/** DefaultDeviceTimeoutSec= of systemd-system.conf(5). */
const MOUNT_WAITS_MS = 90_000;

/** A key that comes after the mount has given up opens the volume, and nothing is mounted. */
function judgeMountTimeouts(facts: CheckFacts, volume: VolumeFacts): Finding[] {
  const { deadlineMs, mounts } = volume;
  if (deadlineMs <= MOUNT_WAITS_MS) return [];
  const { warning } = findingsOf(volume);
  const isBounded = (option: string) => option === "noauto" || option.startsWith("x-systemd.device-timeout=");
  return mounts
    .filter(({ options }) => !options.some(isBounded))
    .map(({ target, line }) =>
      warning(
        "check/mount-timeout",
        `the agent tries for ${deadlineMs / 1000} s, and the mount of ${target} waits ${MOUNT_WAITS_MS / 1000} s for the volume`,
        `line ${line} of ${facts.files.fstab}, add the option: x-systemd.device-timeout=${Math.ceil(deadlineMs / 1000) + 30}s`,
      ),
    );
}

function isOpenedByInitramfs({ entry, mounts, beneathRoot }: VolumeFacts): boolean {
  if (beneathRoot || findOption(entry, "initramfs", "x-initrd.attach") !== undefined) return true;
  return mounts.some(({ target }) => target === "/" || target === "/usr");
}

function judgeUnasked(facts: CheckFacts, volume: VolumeFacts): Finding[] {
  const { entry, bindings, hasKey, command } = volume;
  const { error, warning } = findingsOf(volume);
  const findings: Finding[] = [];
  if (hasKey === false) {
    findings.push(
      error(
        "check/no-key",
        `${entry.key} is not there: the passphrase is asked for`,
        bindings.length > 0 || command !== null
          ? `line ${entry.line} of ${facts.files.crypttab}: name ${facts.agentSocket} as the key`
          : `put the key there, or bind the volume: nightlatch bind ${volume.device} latch INVITE`,
      ),
    );
  } else if (hasKey === null && (bindings.length > 0 || command !== null)) {
    findings.push(
      warning(
        "check/not-asked",
        `${bindings.length > 0 ? "its bindings are" : "its command is"} not used by the agent, which crypttab does not name`,
        `line ${entry.line} of ${facts.files.crypttab}: ${formatCrypttabLine({
          volume: entry.volume,
          uuid: volume.uuid ?? "UUID",
          socket: facts.agentSocket,
          overNetwork: asksNetwork(volume),
        })}`,
      ),
    );
  }
  return findings;
}

/** One that does not open is an error where no other does. */
function judgeBindings(volume: VolumeFacts): Finding[] {
  const { error, warning } = findingsOf(volume);
  const another = volume.bindings.some(({ opens }) => opens === true);
  const tell = another || volume.command !== null ? warning : error;
  return volume.bindings.flatMap((binding) => {
    if (binding.opens === true) return [];
    if (binding.opens === null) {
      return [warning("check/binding-untried", `${binding.text}: cannot be tried here`, "see: clevis luks list")];
    }
    return [
      tell(
        "check/binding",
        `${binding.text} does not open it now: ${reasonOf(binding)}`,
        binding.error?.remedy ?? `bind it anew: nightlatch bind ${volume.device} latch INVITE --replace`,
      ),
    ];
  });
}

function reasonOf({ error }: BindingFacts): string {
  return error === null ? "it refers to no keyslot" : `${error.message} [${error.code}]`;
}

function judgeHeader(volume: VolumeFacts): Finding[] {
  const { warning } = findingsOf(volume);
  const isOurs = volume.bindings.length > 0;
  return [
    ...(volume.hasPassphrase === false && isOurs
      ? [
          warning(
            "check/no-passphrase",
            "every keyslot belongs to a token: without its servers nothing opens it any more",
            `add a passphrase while it can be opened: cryptsetup luksAddKey ${volume.device}`,
          ),
        ]
      : []),
    ...volume.leftovers.map((text) =>
      warning("check/leftover", text, "the next nightlatch bind or unbind clears it up"),
    ),
    ...volume.warnings.map(({ text, remedy }) =>
      warning("check/header", text, remedy ?? `see: cryptsetup luksDump ${volume.device}`),
    ),
  ];
}

function unreadable(volume: VolumeFacts): Finding {
  const { error } = findingsOf(volume);
  if (volume.error?.code === "file/missing") {
    const waits = mayFail(volume.entry) ? "it stays closed" : "the boot waits 90 s for it and then stops";
    return error(
      "check/no-device",
      `${volume.device} is not there: ${waits}`,
      "attach it, or take its line out of crypttab",
    );
  }
  const { message = "", code = "", remedy } = volume.error ?? {};
  return error("check/unreadable", `${message} [${code}]`, remedy ?? `see: cryptsetup luksDump ${volume.device}`);
}

function isHeadless({ entry }: VolumeFacts): boolean {
  const option = findOption(entry, "headless");
  return option !== undefined && !/^(?:0|no|n|false|f|off)$/i.test(option.value ?? "yes");
}

type Make = (code: string, text: string, remedy: string) => Finding;

function findingsOf({ entry }: VolumeFacts): { readonly error: Make; readonly warning: Make } {
  const make =
    (severity: Finding["severity"]): Make =>
    (code, text, remedy) => ({ code, severity, subject: entry.volume, text, remedy });
  return { error: make("error"), warning: make("warning") };
}
