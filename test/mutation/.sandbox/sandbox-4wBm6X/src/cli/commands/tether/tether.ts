// @ts-nocheck
import { watchTether } from "../../../agent/tether/watch.ts";
import { NightlatchError } from "../../../core/errors.ts";
import { AGENT_CONFIG, HEARD_FILE, TETHER_FOLDER } from "../../../core/places.ts";
import { AGENT_CONFIG_LIMIT_BYTES } from "../../../formats/own/agent-config.ts";
import { parseAgentConfig } from "../../../formats/own/agent-config-file.ts";
import { defineCommand } from "../../command.ts";
import { pauseTether } from "./pause.ts";

export const command = defineCommand({
  name: "tether",
  summary: "suspend this machine's volumes once its servers have given it up, until it is stopped",
  options: {
    config: { value: "FILE", help: "its [tether] says when, and what then", default: AGENT_CONFIG },
    heard: { value: "FILE", help: "what servers have answered to heartbeats", default: HEARD_FILE },
    pause: { value: "DURATION", help: "no more than this: have silence trip nothing for so long, at most 24h" },
    run: { value: "DIR", help: "what it keeps until the machine goes off", default: TETHER_FOLDER },
  },
  details: `A server that answers a heartbeat with a lock trips it, and so does silence of all servers where [tether] says after. The volumes
that have a binding are then suspended, but none that the system runs from, and it is proved that the kernel has
no key of them; else the machine goes off at once. It is run by nightlatch-tether.service, beside the sender of heartbeats:
systemctl enable --now nightlatch-heartbeat nightlatch-tether. With --pause 2h, as while the network is worked on, silence trips the
one that runs only once that is over, and then at once; a lock does all the same; 0s ends it. By a passphrase a volume goes on: cryptsetup luksResume NAME.`,
  async run({ options, system, terminal }) {
    if (options.pause !== undefined) {
      const forMs = await pauseTether(system, options.run, options.pause);
      terminal.line(forMs === 0 ? "Silence counts again." : `Silence trips nothing for ${options.pause}. A lock does.`);
      terminal.result({ ok: true, seconds: forMs / 1000 });
      return 0;
    }
    const text = await system.readFileIfPresent(options.config, AGENT_CONFIG_LIMIT_BYTES);
    const config = text === null ? null : parseAgentConfig(text, options.config);
    if (config === null || config.tether === null) throw noTether(options.config);
    await watchTether(
      system,
      {
        tether: config.tether,
        intervalMs: config.heartbeat.intervalMs,
        heard: options.heard,
        folder: options.run,
        log: journal(terminal.hint, process.env),
      },
      terminal.signal,
    );
    terminal.result({ ok: true });
    return 0;
  },
});

/** sd-daemon(3): the journal takes the level from a line's start. */
function journal(
  hint: (text: string) => void,
  env: NodeJS.ProcessEnv,
): (level: "info" | "alert", text: string) => void {
  const toJournal = env["JOURNAL_STREAM"] !== undefined;
  const prefix = { info: "<6>", alert: "<1>" };
  return (level, text) => hint(`${toJournal ? prefix[level] : "nightlatch tether: "}${text}`);
}

function noTether(path: string): NightlatchError {
  return new NightlatchError("tether/off", `${path} has no [tether]`, {
    meaning: "Nothing is suspended, whatever the servers say.",
    remedy: `Write it there: printf '\\n[tether]\\nafter = "10m"\\n' >> ${path}`,
  });
}
