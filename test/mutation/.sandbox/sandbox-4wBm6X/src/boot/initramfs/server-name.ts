// @ts-nocheck
import { isIP } from "node:net";
import { isError } from "../../core/errors.ts";
import type { System } from "../../system/port.ts";

/**
 * How the running system knows a server's name. `here`: it is this machine; `hosts`: from
 * /etc/hosts and not from DNS; `hosts-perhaps`: from /etc/hosts, and what asks DNS here reads that
 * file as well; `other`: from some other service, such as mDNS; `dns`: as everybody does.
 */
export interface ServerName {
  readonly kind: "here" | "hosts" | "hosts-perhaps" | "other" | "dns" | "unknown";
  /** What it stands for here, IPv4 where there is one. */
  readonly address: string | null;
}

/** systemd-resolved's own addresses: it answers from /etc/hosts too. */
const STUB = /^\s*nameserver\s+127\.0\.0\.5[34]\b/m;

/** glibc gives a silent name server up after 5 s, twice (resolv.conf(5)); a person is waiting. */
const LOOK_UP_MS = 8_000;

/**
 * Looks a name up with getent(1), in one source of names after the other, to tell which of them
 * knows it.
 * @param host a name or an address, without brackets
 * @throws NightlatchError system/*
 */
export async function lookUpName(system: Pick<System, "run" | "readFile">, host: string): Promise<ServerName> {
  // Not even its own address is wrong for certain: a tunnel in the initramfs may listen there.
  if (isIP(host) > 0) return { kind: "dns", address: host };
  if (host === "localhost" || host.endsWith(".localhost")) return { kind: "here", address: null };
  const inHosts = await ask(system, host, "files");
  if (inHosts.some(isLoopback)) return { kind: "here", address: null };
  const inDns = await ask(system, host, "dns");
  const [address = null] = inHosts;
  if (address !== null) {
    if (inDns.length === 0) return { kind: "hosts", address };
    return { kind: (await asksStub(system)) ? "hosts-perhaps" : "dns", address };
  }
  if (inDns[0] !== undefined) return { kind: "dns", address: inDns[0] };
  const [other = null] = await ask(system, host, null);
  return { kind: other === null ? "unknown" : "other", address: other };
}

async function ask(system: Pick<System, "run">, host: string, source: string | null): Promise<string[]> {
  const service = source === null ? [] : ["-s", `hosts:${source}`];
  try {
    const { status, stdout } = await system.run({
      argv: ["getent", ...service, "--", "ahosts", host],
      timeoutMs: LOOK_UP_MS,
    });
    if (status !== 0) return [];
    const addresses = stdout
      .toString("latin1")
      .split("\n")
      .map((line) => line.split(/\s/)[0] ?? "")
      .filter((word) => isIP(word) > 0);
    return [...new Set(addresses)].sort((a, b) => isIP(a) - isIP(b));
  } catch (error) {
    if (isError(error, "system/missing-program") || isError(error, "system/timeout")) return [];
    throw error;
  }
}

async function asksStub(system: Pick<System, "readFile">): Promise<boolean> {
  try {
    return STUB.test((await system.readFile("/etc/resolv.conf", 64 * 1024)).toString("latin1"));
  } catch (error) {
    if (isError(error)) return false;
    throw error;
  }
}

function isLoopback(address: string): boolean {
  return /^127\./.test(address) || address === "::1" || /^::ffff:127\./i.test(address);
}
