// @ts-nocheck
import { isJsonObject, type Json, type JsonObject, parseJson } from "../json/json.ts";

/** The way to one address, as the kernel would take it (ip-route(8), `route get`). */
export interface KernelRoute {
  readonly card: string;
  /** Null where the address is on the card's own network. */
  readonly gateway: string | null;
  /** What the machine sends from. */
  readonly source: string;
}

/** One network interface (ip-link(8)). */
export interface Link {
  /** Such as `vlan`, `bond` or `bridge`; null for a card. */
  readonly kind: string | null;
  /** Such as `ether` or `infiniband`. */
  readonly type: string;
  /** The one that the card has by itself. */
  readonly mac: string | null;
  /** What it is a part of, such as a bond. */
  readonly master: string | null;
}

/** An address of an interface (ip-address(8)). */
interface InterfaceAddress {
  readonly address: string;
  readonly prefix: number;
  /** Whether it has an end: it was given by DHCP, or comes from a router's announcement. */
  readonly isDynamic: boolean;
}

const LIMITS = { lengthBytes: 1 << 20 };
const CARD = /^[\w.-]{1,15}$/;
/** As the kernel writes it, without the name of a card behind it. */
const ADDRESS = /^(?=.*[.:])[0-9a-f:.]{2,45}$/i;
const MAC = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/;

/**
 * Parses `ip -json route get ADDRESS`. Null where there is no way, or one that does not leave the
 * machine.
 * @throws NightlatchError json/*
 */
export function parseRoute(text: Uint8Array): KernelRoute | null {
  const [route] = readList(text, "the route");
  if (route === undefined) return null;
  const { dev, gateway = null, prefsrc, type = "unicast" } = route;
  if (type !== "unicast" || !isCard(dev) || dev === "lo" || !isAddress(prefsrc)) return null;
  if (gateway !== null && !isAddress(gateway)) return null;
  return { card: dev, gateway, source: prefsrc };
}

/**
 * Parses `ip -json -details link show dev CARD`. Null where it tells of none.
 * @throws NightlatchError json/*
 */
export function parseLink(text: Uint8Array): Link | null {
  const [link] = readList(text, "the network card");
  if (link === undefined) return null;
  const { linkinfo, link_type: type, address, permaddr = address, master } = link;
  // What a card is a part of is told in the same place.
  const kind = isJsonObject(linkinfo) ? linkinfo["info_kind"] : undefined;
  return {
    kind: typeof kind === "string" ? kind : null,
    type: typeof type === "string" ? type : "unknown",
    mac: typeof permaddr === "string" && MAC.test(permaddr) ? permaddr : null,
    master: typeof master === "string" ? master : null,
  };
}

/**
 * Parses `ip -json -details link show up`: the cards that carry a signal, wireless ones too.
 * @throws NightlatchError json/*
 */
export function parseCardsWithSignal(text: Uint8Array): string[] {
  return readList(text, "the network cards").flatMap(({ ifname, flags, linkinfo, link_type: type, master }) => {
    const isPlain = type === "ether" && master === undefined && !(isJsonObject(linkinfo) && "info_kind" in linkinfo);
    const hasSignal = Array.isArray(flags) && flags.includes("LOWER_UP");
    return isPlain && hasSignal && isCard(ifname) ? [ifname] : [];
  });
}

/**
 * Parses `ip -json address show dev CARD`.
 * @throws NightlatchError json/*
 */
export function parseAddresses(text: Uint8Array): InterfaceAddress[] {
  const [link] = readList(text, "the addresses of the network card");
  const infos = link?.["addr_info"];
  return (Array.isArray(infos) ? infos : []).filter(isJsonObject).flatMap(({ local, prefixlen, dynamic }) => {
    if (!isAddress(local) || typeof prefixlen !== "number") return [];
    return [{ address: local, prefix: prefixlen, isDynamic: dynamic === true }];
  });
}

/**
 * Parses `ip -json route show default dev CARD`: who has set each route, such as `dhcp` or `ra`, by
 * its gateway. What an administrator has set has `boot` or `static`.
 * @throws NightlatchError json/*
 */
export function parseDefaultRoutes(text: Uint8Array): Map<string, string> {
  return new Map(
    readList(text, "the default route").flatMap(({ gateway, protocol = "boot" }) =>
      isAddress(gateway) && typeof protocol === "string" ? [[gateway, protocol] as const] : [],
    ),
  );
}

/** iproute2 prints nothing, or an empty object, where it has nothing to tell. */
function readList(text: Uint8Array, what: string): JsonObject[] {
  if (text.length === 0) return [];
  const json = parseJson(text, what, LIMITS);
  return (Array.isArray(json) ? json : []).filter(isJsonObject);
}

const isCard = (json: Json | undefined): json is string => typeof json === "string" && CARD.test(json);
const isAddress = (json: Json | undefined): json is string => typeof json === "string" && ADDRESS.test(json);
