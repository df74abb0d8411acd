// @ts-nocheck
import { type ServiceLog, serveKeys } from "../../agent/service.ts";
import { NightlatchError } from "../../core/errors.ts";
import { AGENT_CONFIG, AGENT_SOCKET, MACHINE_STATE } from "../../core/places.ts";
import { readPassedSockets } from "../../system/unix/listen-fds.ts";
import { type CommandInput, defineCommand, type Options } from "../command.ts";

const OPTIONS = {
  socket: { value: "PATH", help: "socket to make where systemd hands none over", default: AGENT_SOCKET },
  crypttab: { value: "FILE", help: "which volumes there are", default: "/etc/crypttab" },
  config: { value: "FILE", help: "deadlines, and commands that print a key", default: AGENT_CONFIG },
  state: { value: "DIR", help: "what this machine keeps about itself", default: MACHINE_STATE },
  idle: {
    value: "SECONDS",
    help: "end after so long without a request, when started by systemd",
    default: "30",
  },
} as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "agent",
  summary: "answer systemd-cryptsetup with the keys of this machine's volumes",
  options: OPTIONS,
  details: `A volume is opened by the bindings in its own header, or by a command that the configuration file names for it.
It is asked for by a line of /etc/crypttab that names the socket as key file; nightlatch crypttab DEV writes one.
Whatever fails is answered with nothing, and systemd asks for the passphrase.`,
  run: runAgent,
});

async function runAgent({ options, system, terminal }: Input): Promise<number> {
  const inherited = inheritedSocket();
  const idleMs = inherited === null ? null : parseSeconds(options.idle);
  const count = await serveKeys(
    system,
    {
      listen: inherited ?? { path: options.socket },
      crypttab: options.crypttab,
      config: options.config,
      state: options.state,
      idleMs,
      log: journal(terminal.hint, process.env),
    },
    terminal.signal,
  );
  terminal.result({ ok: true, sent: count.sent, refused: count.refused });
  return 0;
}

/**
 * The one socket that systemd has passed; null where it has passed none to this process.
 * @throws NightlatchError agent/socket where it is not one
 */
function inheritedSocket(): { readonly fd: number } | null {
  const passed = readPassedSockets(process.env, process.pid);
  if (passed === null) return null;
  if (passed.count === 1) return { fd: passed.first };
  throw new NightlatchError("agent/socket", `systemd handed over ${passed.count || "no"} sockets, not one`, {
    remedy: "Give nightlatch-agent.socket a single ListenStream=.",
  });
}

/** sd-daemon(3): the journal takes the level from a line's start. */
function journal(hint: (text: string) => void, env: NodeJS.ProcessEnv): ServiceLog {
  const toJournal = env["JOURNAL_STREAM"] !== undefined;
  const prefix = { info: "<6>", warning: "<4>" };
  return (level, text) => hint(`${toJournal ? prefix[level] : "nightlatch agent: "}${text}`);
}

function parseSeconds(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text) * 1000;
  throw new NightlatchError("usage/wrong", `agent: --idle ${JSON.stringify(text)} is not a number of seconds`);
}
