import { isNetworkVolume } from "../../formats/crypttab.ts";
import type { FstabEntry } from "../../formats/fstab.ts";
import { asksAgent, type CheckFacts, type VolumeFacts } from "./facts.ts";
import type { Finding } from "./finding.ts";

/** DefaultDeviceTimeoutSec= of systemd-system.conf(5). */
const DEVICE_TIMEOUT_MS = 90_000;

/** What fstab makes of a volume whose key comes over the network. */
export function judgeMounts(volume: VolumeFacts, { agent }: CheckFacts): Finding[] {
  if (!asksAgent(volume, agent) || (volume.command !== null && !isNetworkVolume(volume.entry))) return [];
  return volume.mounts.flatMap((mount) => judgeMount(volume, mount));
}

function judgeMount({ entry, deadlineMs }: VolumeFacts, mount: FstabEntry): Finding[] {
  const found: Finding[] = [];
  const { options, target } = mount;
  if (options.includes("noauto")) return [];
  const add = (finding: Omit<Finding, "subject">) => found.push({ subject: target, ...finding });
  const isNetwork = options.includes("_netdev");
  const optional = options.findLast((option) => option === "nofail" || option === "fail") === "nofail";
  if (!isNetwork) {
    add({
      code: "fstab/no-netdev",
      severity: optional ? "warning" : "error",
      message: `${target} is on ${entry.volume}, whose key comes over the network, and fstab does not say so (_netdev)`,
      effect: optional
        ? "It counts as a local file system, which is mounted before the network is up."
        : "The local file systems wait for it before the network is up, and the boot ends in emergency mode.",
      remedy: lineRemedy(mount, ["_netdev", ...(optional ? [] : ["nofail"])]),
    });
  } else if (!optional) {
    add({
      code: "fstab/no-nofail",
      severity: "warning",
      message: `fstab does not say that the boot may go on without ${target} (nofail)`,
      effect: "Without the volume's key the services that come after remote file systems are not started.",
      remedy: lineRemedy(mount, ["nofail"]),
    });
  }
  const timeout = options.findLast((option) => option.startsWith("x-systemd.device-timeout="));
  if (timeout === undefined && deadlineMs > DEVICE_TIMEOUT_MS) {
    add({
      code: "fstab/timeout",
      severity: "warning",
      message: `the agent tries for ${deadlineMs / 1000} s to get the key, and the mount waits ${DEVICE_TIMEOUT_MS / 1000} s`,
      effect: "A key that comes after that opens the volume, and nothing is mounted.",
      remedy: lineRemedy(mount, [`x-systemd.device-timeout=${Math.ceil(deadlineMs / 1000) + 30}s`]),
    });
  }
  return found;
}

function lineRemedy({ line, options }: FstabEntry, adds: readonly string[]): string {
  const kept = options.filter((option) => option !== "defaults" && !(option === "fail" && adds.includes("nofail")));
  return `The options of line ${line} of /etc/fstab should be: ${[...kept, ...adds].join(",")}`;
}
