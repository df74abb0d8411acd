// @ts-nocheck
import { isIP } from "node:net";
import { cmdlineValues } from "../../formats/loader/kernel-cmdline.ts";
import { type FixedNetwork, formatFixedNetwork, NO_FIXED_NETWORK } from "../../formats/own/initramfs-network.ts";
import { type ClevisTask, type EarlyLack, hostOf } from "./clevis.ts";
import type { HostNetwork } from "./host-network.ts";
import type { InitramfsFacts } from "./inspect.ts";
import { byHand, type Mending, REBUILD_STEP, remedyOf, setNetwork } from "./mending.ts";

type Facts = Pick<InitramfsFacts, "generator" | "has" | "content" | "names">;

/** What tells whether an initramfs has the network that the running system has. */
interface NetworkTask extends Pick<ClevisTask, "urls" | "names" | "rebind"> {
  readonly host: HostNetwork;
  /** The kernel's, with what the initramfs brings along. */
  readonly cmdline: string;
  readonly mending: Mending;
}

/** Where an initramfs keeps what was written down for it: docs/format/initramfs-network.md. */
const KEPT = {
  "initramfs-tools": "conf/conf.d/nightlatch-network",
  "dracut-systemd": "etc/nightlatch/network",
} as const;

/**
 * Lists why an initramfs would not reach a volume's servers, although the running system does: that
 * has a fixed address, or reaches them in a way that is not set up there. Empty where the
 * administrator has set the network up by `ip=`, and for generators of which nothing is known.
 */
export function networkLacks(facts: Facts, task: NetworkTask): EarlyLack[] {
  const { host, cmdline, mending } = task;
  const { generator } = facts;
  if (generator !== "initramfs-tools" && generator !== "dracut-systemd") return [];
  const inside = facts.content(KEPT[generator]);
  // What dracut's own words were written by us stands in the command line as well.
  if ((inside === null || generator === "initramfs-tools") && isSetByHand(facts, cmdline)) return [];
  switch (host.kind) {
    case "unsupported":
      return [{ code: "network", what: `${host.why}: that is not set up in an initramfs here`, ...byHand(PLAIN_CARD) }];
    case "dynamic":
      return dynamicLacks(host, inside, facts, mending);
    case "fixed":
      return [...fixedLacks(host.network, inside, facts, mending), ...nameLacks(host.network, task)];
  }
}

const PLAIN_CARD =
  "give the key server an address that a plain network card reaches, and bind the volume to that; or set the network up by ip= on the kernel's command line";

function dynamicLacks(
  { card, others, announced }: Extract<HostNetwork, { kind: "dynamic" }>,
  inside: string | null,
  facts: Facts,
  mending: Mending,
): EarlyLack[] {
  const lack = (what: string, wanted: string): EarlyLack[] =>
    inside === wanted ? [] : [{ code: "network", what, ...setNetwork(mending, wanted) }];
  if (facts.generator === "initramfs-tools") {
    if (announced !== null) {
      const what = `${card} has its address from a router, and the initramfs asks DHCP for more than four minutes first`;
      return lack(what, formatFixedNetwork(announced));
    }
    const byCard = `DEVICE="${card}"\n`;
    // One card is certain, where others had a signal before.
    if (inside === byCard) return [];
    // ipconfig asks by every card, and takes the first answer.
    if (others.length > 0 && !setsDevice(facts)) {
      const cards = [card, ...others].join(", ");
      const what = `the initramfs asks for an address by whichever network card answers first (${cards}), and the key server is behind ${card}`;
      return lack(what, byCard);
    }
  }
  if (inside === null) return [];
  const what = `the initramfs gives ${card} a fixed address, and the running system has another by now, which is not fixed`;
  return lack(what, NO_FIXED_NETWORK);
}

function fixedLacks(network: FixedNetwork, inside: string | null, facts: Facts, mending: Mending): EarlyLack[] {
  const text = formatFixedNetwork(network);
  const has = `${network.card} has the fixed address ${network.addresses.join(" and ")}`;
  if (inside !== text) {
    const what = inside === null ? "the initramfs asks for one by DHCP" : "the initramfs has another network";
    return [{ code: "network", what: `${has}, and ${what}`, ...setNetwork(mending, text) }];
  }
  if (isApplied(network, facts)) return [];
  const what = `${has}, and the initramfs holds nothing that gives it to the card`;
  return [{ code: "network", what, ...remedyOf(mending, [REBUILD_STEP]) }];
}

/** An address that is fixed brings no name server along. */
function nameLacks({ nameServers }: FixedNetwork, { urls, names, rebind }: NetworkTask): EarlyLack[] {
  if (nameServers.length > 0) return [];
  return urls.flatMap((url) => {
    const host = hostOf(url);
    const { kind, address = null } = names.get(host) ?? {};
    // Another kind of name is told of by itself.
    if (isIP(host) > 0 || kind !== "dns") return [];
    const what = `${host} is a name, and no name server of this machine can be asked before the root`;
    return [{ code: "name", what, ...byHand(rebind(url, address)) }];
  });
}

/** What sets the network up is in the initramfs, beside what it reads. */
function isApplied({ addresses }: FixedNetwork, { generator, has, content, names }: Facts): boolean {
  if (generator === "initramfs-tools") return has("usr/libexec/nightlatch-network") && has("usr/bin/ip");
  return UNITS.some((unit) => {
    const text = names.has(unit) ? content(unit) : null;
    return text !== null && addresses.every((address) => text.includes(address.replace(/\/.*$/, "")));
  });
}

/** Of systemd-networkd (dracut 106, 108 and later, before), and of what reads the command line. */
const UNITS = [
  "etc/systemd/network/zzzz-dracut-default.network",
  "usr/lib/dracut/default.network",
  "etc/systemd/network/zzzz-nightlatch.network",
  "etc/cmdline.d/90-nightlatch-network.conf",
];

/** `ip=` on the command line; for initramfs-tools also IP= in its configuration. */
function isSetByHand(facts: Facts, cmdline: string): boolean {
  if (cmdlineValues(cmdline, "ip").length > 0) return true;
  return facts.generator === "initramfs-tools" && configures(facts, "IP");
}

const setsDevice = (facts: Facts): boolean => configures(facts, "DEVICE");

/** initramfs.conf(5) and the files beside it, which init reads as shell. */
function configures({ names, content }: Facts, variable: string): boolean {
  const files = [...names].filter((name) => /^conf\/(?:initramfs\.conf|conf\.d\/[^/]+)$/.test(name));
  const pattern = new RegExp(`^\\s*(?:export\\s+)?${variable}=["']?[^"'\\s]`, "m");
  return files.some((name) => name !== KEPT["initramfs-tools"] && pattern.test(content(name) ?? ""));
}
