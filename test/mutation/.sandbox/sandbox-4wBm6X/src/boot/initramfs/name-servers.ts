// @ts-nocheck
import { isIP } from "node:net";
import { isError } from "../../core/errors.ts";
import type { System } from "../../system/port.ts";

/** systemd-resolved's own addresses. */
const STUBS = ["127.0.0.53", "127.0.0.54"];
/** resolv.conf(5): no more are asked. */
const MOST = 3;

/**
 * Lists the name servers that the running system asks, at most three. One that is the machine
 * itself does not count, since it does not run before the root; behind that of systemd-resolved are
 * those that it asks (systemd-resolved.service(8)).
 * @throws NightlatchError system/*
 */
export async function readNameServers(system: Pick<System, "readFile">): Promise<string[]> {
  const listed = await listServers(system, "/etc/resolv.conf");
  const asked = listed.some((server) => STUBS.includes(server))
    ? await listServers(system, "/run/systemd/resolve/resolv.conf")
    : listed;
  return asked.filter((server) => isIP(server) > 0 && !isLocal(server)).slice(0, MOST);
}

async function listServers(system: Pick<System, "readFile">, path: string): Promise<string[]> {
  try {
    const text = (await system.readFile(path, 64 * 1024)).toString("latin1");
    return [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, server = ""]) => server);
  } catch (error) {
    if (isError(error)) return [];
    throw error;
  }
}

/** The machine itself, or an address that means something on one card alone. */
const isLocal = (server: string): boolean => /^127\.|^::1$|^0\.|^::$|^fe[89ab]|%/i.test(server);
