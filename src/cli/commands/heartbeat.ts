import { sendHeartbeats } from "../../agent/heartbeat.ts";
import { keepHeard } from "../../agent/tether/heard-file.ts";
import { isError, NightlatchError } from "../../core/errors.ts";
import { AGENT_CONFIG, HEARD_FILE, MACHINE_STATE } from "../../core/places.ts";
import {
  AGENT_CONFIG_LIMIT_BYTES,
  DEFAULT_AGENT_CONFIG,
  type HeartbeatConfig,
} from "../../formats/own/agent-config.ts";
import { parseAgentConfig } from "../../formats/own/agent-config-file.ts";
import { type EnrolledServer, listServers } from "../../pins/latch/machine.ts";
import type { System } from "../../system/port.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "heartbeat",
  summary: "tell this machine's key servers that it is alive, until it is stopped",
  options: {
    config: { value: "FILE", help: "how often, and to which servers", default: AGENT_CONFIG },
    state: { value: "DIR", help: "what this machine keeps about itself", default: MACHINE_STATE },
    heard: {
      value: "FILE",
      help: "where a tether reads what servers answer, if its folder is there",
      default: HEARD_FILE,
    },
  },
  details: `Every minute, or as often as a server wants it; [heartbeat] in the configuration file says otherwise. A server whose
policy for this machine is alive locks it when they do not come. It is run by nightlatch-heartbeat.service:
systemctl enable --now nightlatch-heartbeat.`,
  async run({ options, system, terminal }) {
    const log = (text: string) => terminal.hint(text);
    const { intervalMs, servers: wanted, asksLease } = await readConfig(system, options.config, log);
    const enrolled = await listServers(system, options.state);
    const servers = wanted === null ? enrolled : wanted.map((url) => serverAt(url, enrolled));
    if (servers.length === 0) {
      throw new NightlatchError("machine/not-enrolled", "this machine is enrolled at no key server", {
        meaning: "There is nobody to send heartbeats to.",
        remedy: "Bind a volume with an invite of a server's first: nightlatch bind DEV latch INVITE",
      });
    }
    const listener = await keepHeard(system, options.heard, log);
    const sending = { state: options.state, intervalMs, log, listener, asksLease };
    await Promise.all(servers.map((server) => sendHeartbeats(system, server, sending, terminal.signal)));
    terminal.result({ ok: true, servers: servers.map(({ url }) => url) });
    return 0;
  },
});

/**
 * A file with a mistake in it is passed over, as the agent does: a machine must not fall silent for
 * it.
 */
async function readConfig(
  system: Pick<System, "readFileIfPresent">,
  path: string,
  log: (text: string) => void,
): Promise<HeartbeatConfig & { readonly asksLease: boolean }> {
  try {
    const text = await system.readFileIfPresent(path, AGENT_CONFIG_LIMIT_BYTES);
    const { heartbeat, tether } = text === null ? DEFAULT_AGENT_CONFIG : parseAgentConfig(text, path);
    // It costs the server a look into its store, and means something only where silence does.
    return { ...heartbeat, asksLease: tether !== null && tether.afterMs !== null };
  } catch (error) {
    if (!isError(error)) throw error;
    log(`${error.message} [${error.code}] Heartbeats go to every server, every minute.`);
    // A tether that runs goes by the file as it was.
    return { ...DEFAULT_AGENT_CONFIG.heartbeat, asksLease: true };
  }
}

function serverAt(url: string, enrolled: readonly EnrolledServer[]): EnrolledServer {
  const found = enrolled.find((server) => server.url === url);
  if (found !== undefined) return found;
  throw new NightlatchError("machine/not-enrolled", `this machine is not enrolled at ${url}, which [heartbeat] names`, {
    meaning: "No heartbeat is sent.",
    remedy: `Name servers as they are in ${enrolled.map((server) => server.url).join(", ") || "an invite"}, or leave servers out.`,
  });
}
