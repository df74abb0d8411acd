// @ts-nocheck
import { isIP } from "node:net";
import { SMALL_PROGRAM_MS } from "../../core/deadlines.ts";
import { isError } from "../../core/errors.ts";
import {
  type KernelRoute,
  type Link,
  parseAddresses,
  parseCardsWithSignal,
  parseDefaultRoutes,
  parseLink,
  parseRoute,
} from "../../formats/network/ip-json.ts";
import type { FixedNetwork } from "../../formats/own/initramfs-network.ts";
import type { System } from "../../system/port.ts";
import { readNameServers } from "./name-servers.ts";

/** How the running system reaches the key servers of a volume. */
export type HostNetwork =
  /** By one card, whose address comes from DHCP or a router's announcement. */
  | {
      readonly kind: "dynamic";
      readonly card: string;
      /** Cards beside it that carry a signal. */
      readonly others: readonly string[];
      /**
       * Where nothing but a router's announcement gives it an address: the card, and no address.
       * Null where DHCP does.
       */
      readonly announced: FixedNetwork | null;
    }
  /** By one card, whose address was given to it for good. */
  | { readonly kind: "fixed"; readonly network: FixedNetwork }
  /** In a way that is not set up before the root. */
  | { readonly kind: "unsupported"; readonly why: string };

type Power = Pick<System, "run" | "readFile">;

/**
 * Reads how the running system reaches some servers. Null where that cannot be told: no way leads
 * there now, it is the machine itself, or iproute2 is not installed.
 * @param servers addresses
 * @throws NightlatchError json/*, system/*
 */
export async function readHostNetwork(system: Power, servers: readonly string[]): Promise<HostNetwork | null> {
  const routes = await listRoutes(system, servers);
  const [first] = routes;
  if (first === undefined) return null;
  const cards = [...new Set(routes.map(({ card }) => card))];
  if (cards.length > 1) {
    return unsupported(`the key servers are reached through several network cards (${cards.join(", ")})`);
  }
  const { card } = first;
  const link = parseLink(await ip(system, "-details", "link", "show", "dev", card));
  if (link === null || link.kind === "veth") return null; // a container has no initramfs of its own
  const why = await whyNoCard(system, card, link);
  if (why !== null) return unsupported(`the key server is reached through ${card}, which is ${why}`);
  return readAddresses(system, card, link, routes);
}

const unsupported = (why: string): HostNetwork => ({ kind: "unsupported", why });

async function listRoutes(system: Power, addresses: readonly string[]): Promise<KernelRoute[]> {
  const routes = await Promise.all(
    addresses.map(async (address) => parseRoute(await ip(system, "route", "get", address))),
  );
  return routes.filter((route) => route !== null);
}

const KINDS: Readonly<Record<string, string>> = {
  vlan: "a VLAN",
  bond: "a bond of cards",
  bridge: "a bridge",
  team: "a team of cards",
  wireguard: "a WireGuard tunnel",
  tun: "a tunnel",
};

async function whyNoCard(system: Power, card: string, { kind, type, master }: Link): Promise<string | null> {
  if (kind !== null) return KINDS[kind] ?? `of the kind ${kind}`;
  if (type !== "ether") return `of the type ${type}`;
  if (master !== null) return `a part of ${master}`;
  const uevent = await readIfThere(system, `/sys/class/net/${card}/uevent`);
  return /^DEVTYPE=wlan$/m.test(uevent) ? "a wireless card" : null;
}

async function readAddresses(
  system: Power,
  card: string,
  { mac }: Link,
  routes: readonly KernelRoute[],
): Promise<HostNetwork | null> {
  const addresses = parseAddresses(await ip(system, "address", "show", "dev", card));
  const defaults = new Map([
    ...parseDefaultRoutes(await ip(system, "-4", "route", "show", "default", "dev", card)),
    ...parseDefaultRoutes(await ip(system, "-6", "route", "show", "default", "dev", card)),
  ]);
  const found = (source: string) => addresses.find(({ address }) => address === source);
  // A lease without an end looks like a fixed address, but for the route that came with it.
  const leased = [...defaults].filter(([, protocol]) => protocol === "dhcp").map(([gateway]) => gateway);
  const isDynamic = ({ source, gateway }: KernelRoute) =>
    found(source)?.isDynamic === true ||
    leased.some((other) => (gateway === null ? isIP(other) === isIP(source) : other === gateway));
  if (routes.some(({ source }) => found(source) === undefined)) {
    return unsupported(`the key server is reached from an address that ${card} does not have`);
  }
  // A virtual function may have none of its own: the kernel draws one (sysfs-class-net).
  const isRandom = (await readIfThere(system, `/sys/class/net/${card}/addr_assign_type`)).trim() === "1";
  const itself = { card, mac: isRandom ? null : mac };
  // Name servers that are reached by this card.
  const named = await Promise.all(
    (await readNameServers(system)).map(async (server) => {
      const [route] = await listRoutes(system, [server]);
      return route?.card === card ? [{ server, route }] : [];
    }),
  );
  const servers = named.flat();
  if (routes.every(isDynamic)) {
    const cards = parseCardsWithSignal(await ip(system, "-details", "link", "show", "up"));
    const others = cards.filter((other) => other !== card);
    if (addresses.some(({ address }) => isIP(address) === 4)) return { kind: "dynamic", card, others, announced: null };
    const nameServers = servers.map(({ server }) => server);
    return { kind: "dynamic", card, others, announced: { ...itself, addresses: [], gateways: [], nameServers } };
  }
  if (routes.some(isDynamic)) {
    return unsupported(`${card} reaches one key server from a fixed address, and another from one of DHCP`);
  }
  const gateways = [...new Set(routes.flatMap(({ gateway }) => gateway ?? []))];
  const own = new Map(gateways.map((gateway) => [isIP(gateway), gateway]));
  if (own.size < gateways.length) return unsupported(`the key servers are reached through ${gateways.join(" and ")}`);
  // What is reached in the same way, or by a gateway of the family that has none yet.
  const usable = servers.filter(({ route }) => {
    if (isDynamic(route) || found(route.source) === undefined) return false;
    const { gateway } = route;
    if (gateway === null) return true;
    if (!own.has(isIP(gateway))) own.set(isIP(gateway), gateway);
    return own.get(isIP(gateway)) === gateway;
  });
  const sources = new Set([...routes, ...usable.map(({ route }) => route)].map(({ source }) => source));
  return {
    kind: "fixed",
    network: {
      ...itself,
      addresses: addresses
        .filter(({ address }) => sources.has(address))
        .map(({ address, prefix }) => `${address}/${prefix}`),
      // What a router announces, it announces before the root too.
      gateways: [...own.values()].filter((gateway) => defaults.get(gateway) !== "ra"),
      nameServers: usable.map(({ server }) => server),
    },
  };
}

/** What ip(8) says; nothing where it fails, or is not there. */
async function ip(system: Power, ...words: readonly string[]): Promise<Uint8Array> {
  try {
    const { status, stdout } = await system.run({ argv: ["ip", "-json", ...words], timeoutMs: SMALL_PROGRAM_MS });
    return status === 0 ? stdout : new Uint8Array();
  } catch (error) {
    if (isError(error, "system/missing-program")) return new Uint8Array();
    throw error;
  }
}

async function readIfThere(system: Pick<System, "readFile">, path: string): Promise<string> {
  try {
    return (await system.readFile(path, 4096)).toString("latin1");
  } catch (error) {
    if (isError(error)) return "";
    throw error;
  }
}
