import { NightlatchError } from "../core/errors.ts";
import { formatCrypttabLine, isVolumeName } from "../formats/crypttab.ts";
import { readVolumeHeader } from "../luks/header.ts";
import { AGENT_SOCKET } from "./agent.ts";
import type { Command, CommandInput, ExitStatus } from "./command.ts";

export const command: Command = {
  name: "crypttab",
  summary: "show the line of /etc/crypttab that lets the agent open a volume",
  operands: "DEV [NAME]",
  minOperands: 1,
  maxOperands: 2,
  options: [
    { name: "local", help: "its key does not come over the network: a command of agent.toml that needs none" },
    { name: "socket", value: "PATH", help: "the agent's socket", default: AGENT_SOCKET },
  ],
  details: `NAME is what the opened volume is called under /dev/mapper; data where it is absent. Nothing is written: put the line into /etc/crypttab
yourself, then: systemctl daemon-reload; nightlatch check.`,
  run,
};

async function run({ operands, options, switches, system, terminal }: CommandInput): Promise<ExitStatus> {
  const [device = "", volume = "data"] = operands;
  if (!isVolumeName(volume) || /[\s#]/.test(volume)) {
    throw new NightlatchError("usage/wrong", `crypttab: ${JSON.stringify(volume)} cannot be the name of a volume`, {
      remedy: "Give a name without white space, # and /.",
    });
  }
  const { uuid } = await readVolumeHeader(system, device);
  const overNetwork = !switches.has("local");
  const line = formatCrypttabLine({ volume, uuid, socket: options["socket"] ?? AGENT_SOCKET, overNetwork });
  const mountOptions = overNetwork ? "defaults,_netdev,nofail" : "defaults";
  terminal.line(line);
  terminal.hint(`In /etc/fstab the mount of /dev/mapper/${volume} then has the options: ${mountOptions}`);
  terminal.result({ ok: true, device, uuid, volume, line, mountOptions });
  return 0;
}
