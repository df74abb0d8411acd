// @ts-nocheck
import { refusedIn } from "../formats/own/log-files.ts";
import type { System } from "../system/port.ts";

type Asking = Pick<System, "readFile" | "listDirectory" | "request">;

/**
 * The same system, by which no latch of a server is asked whose log went back, or is not signed by
 * its witnesses (docs/format/receipt.md). Another share of the same binding, and another binding,
 * still are.
 * @throws NightlatchError machine/bad-state, file/*
 */
export async function withoutRefused<S extends Asking>(system: S, stateFolder: string): Promise<S> {
  const refused = refusedIn(await system.listDirectory(stateFolder));
  if (refused.size === 0) return system;
  // Loaded where it is needed: it takes node:crypto, and a boot waits.
  const [{ listServers }, { errorOfRefused }] = await Promise.all([
    import("../pins/latch/machine.ts"),
    import("../pins/latch/receipt.ts"),
  ]);
  const servers = (await listServers(system, stateFolder)).filter(({ thumbprint }) => refused.has(thumbprint));
  const request: System["request"] = (asked) => {
    const server = servers.find(({ url }) => asked.url.startsWith(`${url}/latch/`));
    const reason = server === undefined ? undefined : refused.get(server.thumbprint);
    if (server === undefined || reason === undefined) return system.request(asked);
    return Promise.reject(errorOfRefused(server, reason));
  };
  return { ...system, request };
}
