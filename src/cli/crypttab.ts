import { NightlatchError } from "../core/errors.ts";
import { formatCrypttabLine, isVolumeName } from "../formats/crypttab.ts";
import { readVolumeHeader } from "../luks/header.ts";
import { AGENT_SOCKET } from "./agent.ts";
import { listBindings } from "./binding.ts";
import type { Command, CommandInput, ExitStatus } from "./command.ts";

export const command: Command = {
  name: "crypttab",
  summary: "print the lines of crypttab and fstab with which a bound volume opens at boot",
  operands: "DEV [NAME]",
  minOperands: 1,
  maxOperands: 2,
  options: [{ name: "socket", value: "PATH", help: "the agent's socket", default: AGENT_SOCKET }],
  details: `Prints, and changes nothing. NAME is the volume's name under /dev/mapper, and of the mount point in the line for fstab; both are
yours to choose.

  nightlatch crypttab /dev/sdb1 backup`,
  run,
};

async function run({ operands, options, system, terminal }: CommandInput): Promise<ExitStatus> {
  const [device = "", name] = operands;
  const header = await readVolumeHeader(system, device);
  const volume = name ?? `luks-${header.uuid}`;
  if (!isVolumeName(volume) || /[\s\\#]/.test(volume)) {
    throw new NightlatchError("usage/wrong", `${JSON.stringify(volume)} is no name for a volume`, {
      remedy: "Use letters, digits, dashes and underscores.",
    });
  }
  const bindings = listBindings(header);
  const overNetwork = bindings.some(({ urls }) => urls.length > 0);
  const crypttab = formatCrypttabLine({ volume, uuid: header.uuid, socket: options["socket"] ?? "", overNetwork });
  const fstab = `/dev/mapper/${volume} /mnt/${volume} auto ${overNetwork ? "defaults,_netdev,nofail" : "defaults"} 0 2`;
  terminal.line(`# /etc/crypttab\n${crypttab}\n# /etc/fstab\n${fstab}`);
  if (bindings.length === 0) {
    terminal.hint(`nightlatch: ${device} has no binding yet: nightlatch bind ${device} latch INVITE`);
  }
  terminal.result({ ok: true, device, uuid: header.uuid, name: volume, overNetwork, crypttab, fstab });
  return 0;
}
