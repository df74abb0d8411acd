// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import { type EnrolledServer, listServers } from "../../../pins/latch/machine.ts";
import { acceptLog } from "../../../pins/latch/receipt.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../../command.ts";
import { STATE_OPTION } from "../../volume/input.ts";

const OPTIONS = { state: STATE_OPTION } as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "receipt accept",
  summary: "take a server's log as it is now, after it went back",
  operands: "NAME",
  minOperands: 1,
  maxOperands: 1,
  options: OPTIONS,
  details: `NAME is this machine's name at the server, or the server's host. A server whose log is not the one that was seen before is not asked
for keys any more. First ask who runs it why: an older copy of its store that was put back may release again what was locked or revoked.`,
  run,
});

async function run({ operands: [name = ""], options: { state }, system, terminal }: Input): Promise<ExitStatus> {
  const server = findServer(await listServers(system, state), name);
  const { host } = new URL(server.url);
  const changed = await acceptLog(system, state, server);
  terminal.line(
    changed ? `The log of ${host} is taken as it is now.` : `${host} was not refused; nothing was changed.`,
  );
  terminal.result({ ok: true, server: server.url, changed });
  return 0;
}

function findServer(servers: readonly EnrolledServer[], name: string): EnrolledServer {
  const found = servers.filter((server) => {
    const { host, hostname } = new URL(server.url);
    return [server.name, host, hostname, server.thumbprint].includes(name);
  });
  const [only, ...others] = found;
  if (only !== undefined && others.length === 0) return only;
  const known = servers.map(({ url, thumbprint }) => `${new URL(url).host} (${thumbprint})`).join(", ");
  throw new NightlatchError(
    "usage/wrong",
    only === undefined ? "this machine knows no such server" : "several servers know this machine by that name",
    { remedy: known === "" ? "This machine is enrolled at no server." : `Say which: ${known}.` },
  );
}
