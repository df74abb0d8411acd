// @ts-nocheck
import { NightlatchError } from "../core/errors.ts";
import { Secret } from "../core/secret.ts";
import type { KeyCommand } from "../formats/own/agent-config.ts";
import type { System } from "../system/port.ts";
import type { KeySource } from "./source.ts";

/** cryptsetup's own default limit for a key file (cryptsetup --help). */
const KEY_LIMIT_BYTES = 8 << 20;
const LINE_FEED = 0x0a;

/** Makes a source of a command of the user's: docs/format/agent-config.md. */
export function commandSource(system: Pick<System, "run">, command: KeyCommand): KeySource {
  const [program] = command.argv;
  return {
    name: `command ${program}`,
    attempt: async (limits) => {
      const exit = await system.run({
        argv: command.argv,
        timeoutMs: Math.min(command.timeoutMs, limits.timeoutMs),
        outputLimitBytes: KEY_LIMIT_BYTES,
        signal: limits.signal,
      });
      try {
        if (exit.status === 0) return keyOf(exit.stdout, command);
      } finally {
        exit.stdout.fill(0);
        exit.stderr.fill(0);
      }
      if (exit.status !== null && command.refusalStatuses.includes(exit.status)) {
        throw new NightlatchError("agent/command-refused", `${program} refused the key (status ${exit.status})`, {
          remedy: "Type the volume's passphrase; refusal-status in agent.toml says that this status means no.",
        });
      }
      const how = exit.status === null ? `was ended by ${exit.signal}` : `ended with status ${exit.status}`;
      throw failed(`${program} ${how}`);
    },
    isWorthRetrying: (error) =>
      error instanceof NightlatchError &&
      (error.code === "agent/command-failed" ||
        error.code === "system/timeout" ||
        error.code === "system/output-too-large"),
  };
}

function keyOf(output: Buffer, { argv: [program], stripNewline }: KeyCommand): Secret {
  const key = stripNewline && output.at(-1) === LINE_FEED ? output.subarray(0, -1) : output;
  if (key.length === 0) throw failed(`${program} printed no key`);
  return Secret.copy(key);
}

/** Makes an error that never repeats what the command said: that may be the key. */
function failed(message: string): NightlatchError {
  return new NightlatchError("agent/command-failed", message, {
    remedy: "Run the command by hand to see what it says.",
  });
}
