import { SMALL_PROGRAM_MS } from "../core/deadlines.ts";
import { isError, NightlatchError } from "../core/errors.ts";
import { type Json, parseJson } from "../formats/json/json.ts";
import { isGoingDown } from "../host/shutdown.ts";
import type { Exit, System } from "../system/port.ts";

type Power = Pick<System, "run">;

const LIMIT_BYTES = 1 << 20;
/** Whoever may hold a lock chose the words. */
const SHOWN_LENGTH = 60;

/**
 * Nothing speaks against a shutdown now: none is under way, and nobody holds one up. Root's `systemctl reboot` heeds such locks since systemd
 * 257 only (its NEWS), 252's `systemctl kexec` does not; apt holds one while packages, the next kernel among them, are half installed.
 * @throws NightlatchError reboot/not-now
 */
export async function requireNoHindrance(power: Power): Promise<void> {
  const holders = await listHolders(power);
  if (holders.length > 0) {
    throw notNow(
      `the shutdown is held up by ${holders.join(" and by ")}`,
      "Wait until that is done, or end the process. See: systemd-inhibit --list",
    );
  }
  if (await isGoingDown(power)) {
    throw notNow(
      "the system is going down already, or its systemd does not answer",
      "Let it end, or call it off: systemctl cancel. What it has stopped comes back by: systemctl start {sockets,timers,paths,default}.target",
    );
  }
}

function notNow(message: string, remedy: string): NightlatchError {
  return new NightlatchError("reboot/not-now", message, {
    meaning: "The machine does not reboot. Nothing is staged.",
    remedy,
  });
}

/** Who blocks shutdowns by an inhibitor lock (systemd-inhibit(1)), in words. Where there is no logind nobody can hold one. */
async function listHolders(power: Power): Promise<string[]> {
  const manager = ["org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"] as const;
  const argv = ["busctl", "--json=short", "call", ...manager, "ListInhibitors"] as const;
  const stdout = await outputOrNone(() =>
    power.run({ argv, deadlineMs: SMALL_PROGRAM_MS, outputLimitBytes: LIMIT_BYTES }),
  );
  if (stdout === null) return [];
  const reply = parseJson(stdout, "logind's answer", { lengthBytes: LIMIT_BYTES });
  const data = typeof reply === "object" && reply !== null && !Array.isArray(reply) ? reply["data"] : null;
  const locks = Array.isArray(data) && Array.isArray(data[0]) ? data[0] : [];
  return locks.flatMap(describeHolder);
}

async function outputOrNone(run: () => Promise<Exit>): Promise<Buffer | null> {
  try {
    const { status, stdout } = await run();
    return status === 0 ? stdout : null;
  } catch (error) {
    if (isError(error, "system/missing-program")) return null;
    throw error;
  }
}

/** A lock is what it holds up, who, why, how, UID, PID (org.freedesktop.login1(5)). */
function describeHolder(lock: Json): string[] {
  if (!Array.isArray(lock)) return [];
  const [what, who, why, mode, , pid] = lock;
  if (mode !== "block" || !String(what).split(":").includes("shutdown")) return [];
  const quote = (text: Json | undefined) => JSON.stringify(String(text).slice(0, SHOWN_LENGTH));
  return [`${quote(who)} (process ${String(pid)}): ${quote(why)}`];
}
