import { asksServer } from "../../../bindings/binding.ts";
import { SERVER_TIMEOUT_MS } from "../../../bindings/recovery.ts";
import { NightlatchError } from "../../../core/errors.ts";
import { isSameAddress } from "../../../formats/network/server-address.ts";
import { type Invite, parseInvite } from "../../../formats/own/invite.ts";
import { anotherLatch, enrolMachine } from "../../../pins/latch/enrol.ts";
import { type EnrolledServer, forgetNonce, listServers } from "../../../pins/latch/machine.ts";
import { sealToAdvertisement } from "../../../pins/tang/tang.ts";
import { isStandardInput, stateFolderOf } from "../../volume/input.ts";
import type { BindInput } from "./options.ts";
import type { BindPlan } from "./plan.ts";

const INVITE_BYTES = 4096;

/**
 * With an invite the machine is enrolled first. Without one its server is asked for another latch.
 */
export async function latchPlan(input: BindInput, argument: string | undefined): Promise<BindPlan> {
  const { options, system, terminal } = input;
  if (options.thumbprint !== undefined) {
    throw new NightlatchError("usage/wrong", "bind: --thumbprint goes with tang; an invite carries the server's own");
  }
  const invite = argument === undefined ? null : await readInvite(input, argument);
  const servers = invite === null ? await chooseServers(input) : [];
  const bases = invite === null ? servers.map((server) => server.url) : [invite.url];
  const stateFolder = stateFolderOf(options.state);
  const limits = { timeoutMs: SERVER_TIMEOUT_MS, signal: terminal.signal };
  return {
    target: bases.join(", "),
    isSameTarget: (binding) => binding.kind === "latch" && bases.some((base) => asksServer(binding, base)),
    async prepare({ uuid }) {
      const [only, ...others] = servers;
      const server = only === undefined || others.length > 0 ? {} : { server: only.thumbprint };
      const latch =
        invite === null
          ? await anotherLatch(system, stateFolder, { volume: uuid, ...server }, limits)
          : await enrolMachine(system, stateFolder, invite, uuid, limits);
      invite?.key.wipe();
      terminal.hint(`The server made a latch for this volume; it knows this machine as ${latch.name}.`);
      const { latchUrl: url, advertisement } = latch;
      return { target: url, seal: async (passphrase) => sealToAdvertisement(system, url, advertisement, passphrase) };
    },
    finish: ({ uuid }) => forgetNonce(system, stateFolder, uuid),
  };
}

async function readInvite({ options, terminal }: BindInput, argument: string): Promise<Invite> {
  if (argument !== "-") return parseInvite(argument);
  if (isStandardInput(options["key-file"])) {
    throw new NightlatchError("usage/wrong", "bind: standard input cannot be both the invite and the passphrase");
  }
  using line = await terminal.readInput(INVITE_BYTES);
  return parseInvite(line.reveal().toString("latin1"));
}

async function chooseServers({ options, system }: BindInput): Promise<readonly EnrolledServer[]> {
  const servers = await listServers(system, stateFolderOf(options.state));
  const wanted = options.server;
  if (wanted === undefined) return servers;
  const chosen = servers.filter((server) => isSameAddress(server.url, wanted));
  if (chosen.length > 0) return chosen;
  throw new NightlatchError("usage/wrong", `bind: this machine is not enrolled at ${wanted}`, {
    remedy: servers.length === 0 ? "It is enrolled nowhere." : `It is at ${servers.map(({ url }) => url).join(", ")}.`,
  });
}
