/**
 * A machine as the manual sets it up: one volume that the agent opens over the network. Tests break
 * it.
 */
import assert from "node:assert/strict";
import type { BindingFacts, CheckFacts, EarlyFacts, SystemdFacts, VolumeFacts } from "../../src/check/judge/facts.ts";
import { findStarts } from "../../src/formats/systemd/boot-start.ts";
import { parseCrypttab } from "../../src/formats/systemd/crypttab.ts";
import { parseFstab } from "../../src/formats/systemd/fstab.ts";

export const SOCKET = "/run/nightlatch/agent.sock";
export const GOOD_LINE = `data UUID=1234 ${SOCKET} luks,_netdev,nofail`;
export const BINDING: BindingFacts = {
  text: "latch http://keys:7654/latch/x, keyslot 1",
  asksNetwork: true,
  keyslots: [1],
  opens: true,
  error: null,
  urls: ["http://keys:7654/latch/x"],
  target: null,
  needsPerson: false,
  token: 0,
  kind: "latch",
  measured: [],
  lacks: [],
  rotated: [],
};
export const SYSTEMD: SystemdFacts = {
  agentUnit: { load: "loaded", file: "enabled", active: "active" },
  startsRemote: true,
  responders: [],
  cycles: [],
};
/** Of a root that the initramfs opens. */
export const EARLY: EarlyFacts = {
  why: "the root lies on it",
  isNeeded: true,
  boot: {
    title: "Debian",
    isCertain: true,
    opensIt: true,
    remedy: "make it",
    keyscript: null,
    keyFile: null,
    deadline: null,
  },
  unknown: null,
};

export function volume(line = GOOD_LINE, more: Partial<VolumeFacts> = {}): VolumeFacts {
  const [entry] = parseCrypttab(Buffer.from(line)).entries;
  assert.ok(entry !== undefined);
  return {
    entry,
    device: "/dev/disk/by-uuid/1234",
    error: null,
    uuid: "1234",
    bindings: [BINDING],
    noPassphrase: null,
    leftovers: [],
    warnings: [],
    command: null,
    deadlineMs: 60_000,
    hasKey: entry.key === null ? null : true,
    mounts: parseFstab(Buffer.from("/dev/mapper/data /srv ext4 _netdev,nofail 0 2\n")),
    early: null,
    ...more,
  };
}

/** As their own lines would have it. */
function startsOf(volumes: readonly VolumeFacts[], startsRemote: boolean) {
  const crypttab = { entries: volumes.map(({ entry }) => entry), faults: [], stopsAt: null, unreadable: [] };
  return findStarts({ crypttab, mounts: volumes.flatMap(({ mounts }) => mounts), startsRemote, cmdline: "quiet" });
}

export function machine(more: Partial<CheckFacts> = {}): CheckFacts {
  const { volumes = [volume()], systemd = SYSTEMD } = more;
  return {
    starts: startsOf(volumes, systemd?.startsRemote ?? true),
    agentSocket: SOCKET,
    isEnrolled: false,
    files: {
      crypttab: "/etc/crypttab",
      fstab: "/etc/fstab",
      config: "/etc/nightlatch/agent.toml",
      state: "/var/lib/nightlatch/machine",
    },
    crypttabFaults: [],
    volumes,
    configError: null,
    strangers: [],
    readableIdentity: null,
    exposed: [],
    socket: { isSocket: true, mode: 0o600, uid: 0 },
    systemd,
    tether: null,
    heartbeat: null,
    witness: null,
    clevisAnswers: false,
    mending: { program: "initramfs-tools", rebuild: "update-initramfs -u -k all" },
    ...more,
  };
}
