// @ts-nocheck
import { networkInterfaces } from "node:os";
import { NightlatchError } from "../core/errors.ts";

/** Where a server listens. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `HOST:PORT`, with an IPv6 address in brackets.
 * @throws NightlatchError usage/wrong where the text is none
 */
export function parseListenAddress(text: string): ListenAddress {
  const [, bracketed, plain, digits] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || port > 65_535) {
    throw new NightlatchError("usage/wrong", `--listen ${text} is not HOST:PORT`, {
      remedy: "Give an address and a port, such as 192.168.1.2:7654 or [::]:7654 for every address of this machine.",
    });
  }
  return { host, port };
}

/**
 * The address that machines are told where the operator has given none. It is the one that is
 * listened on; where that is every address, it is the first of this machine that others can reach.
 * It is an address and no name, because a machine may have no name service yet when it boots.
 */
export function defaultUrl({ host, port }: ListenAddress): string {
  const reachable = isWildcard(host) ? (firstReachable() ?? "127.0.0.1") : host;
  return `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}

function isWildcard(host: string): boolean {
  return host === "::" || host === "0.0.0.0";
}

/**
 * Null where there is none. IPv4 comes first, because it is what people write down. Link-local
 * addresses are left out, because they would need a zone.
 */
function firstReachable(): string | null {
  const all = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith("fe80:") && !address.startsWith("169.254."));
  const found = all.find(({ family }) => family === "IPv4") ?? all[0];
  return found?.address ?? null;
}
