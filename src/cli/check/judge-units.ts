import { isNetworkVolume } from "../../formats/crypttab.ts";
import { type UnitProperties, unitList } from "../../formats/unit-properties.ts";
import type { CheckFacts, KeySocketFacts } from "./facts.ts";
import type { Finding } from "./finding.ts";

/** Ordering: what waits for what before volumes are opened. */
export function judgeUnits(facts: CheckFacts): Finding[] {
  const { units } = facts;
  if (units === null) {
    return [
      {
        code: "unit/unchecked",
        severity: "note",
        subject: "systemd",
        message: "systemd does not run here, or does not answer",
        effect: "Units and their ordering were not looked at.",
        remedy: "Run it on the machine itself, as root.",
      },
    ];
  }
  const cycles = units.cycles.map(
    ({ units: members, deleted }): Finding => ({
      code: "unit/ordering-cycle",
      severity: "error",
      subject: deleted ?? members[0] ?? "systemd",
      message: `these wait for each other: ${members.join(", ")}`,
      effect: `systemd does not start ${deleted ?? "one of them"}; which one it is can change with any upgrade.`,
      remedy:
        "systemd-analyze verify default.target; of a key socket: DefaultDependencies=no, see nightlatch-agent.socket",
    }),
  );
  const early = units.early.filter((unit) => unit.get("DefaultDependencies") === "yes").map(judgeEarly);
  return [...cycles, ...early, ...units.keySockets.flatMap((socket) => judgeKeySocket(socket, facts))];
}

/** Before=cryptsetup.target on a unit with default dependencies, which come after sysinit.target, which comes after cryptsetup.target. */
function judgeEarly(unit: UnitProperties): Finding {
  const name = unit.get("Id") ?? "a unit";
  return {
    code: "unit/default-dependencies",
    severity: "error",
    subject: name,
    message: "it is ordered before the opening of volumes, and with its default dependencies also after it",
    effect: "A cycle: systemd gives up one of the units in it, perhaps the one that gives the key.",
    remedy: `systemctl edit ${name}, and add: [Unit] DefaultDependencies=no; or use the agent: docs/format/agent-config.md`,
  };
}

/** A responder that waits for the network, for a volume that the network waits for: no cycle is logged, and the boot hangs. */
function judgeKeySocket({ path, socket, service }: KeySocketFacts, { volumes }: CheckFacts): Finding[] {
  const waits = service !== null && unitList(service, "After").includes("network-online.target");
  if (!waits) return [];
  return volumes
    .filter(({ entry, key }) => key?.path === path && !isNetworkVolume(entry))
    .map(({ entry }) => ({
      code: "unit/waits-for-network",
      severity: "error",
      subject: service?.get("Id") ?? socket.get("Id") ?? path,
      message: `it gives the key of ${entry.volume} once the network is up, and crypttab has no _netdev for that volume`,
      effect: "The network may wait for the volume: the boot hangs, and nothing is logged.",
      remedy: `Add _netdev,nofail to line ${entry.line} of crypttab, or let the agent run the command: docs/format/agent-config.md`,
    }));
}
