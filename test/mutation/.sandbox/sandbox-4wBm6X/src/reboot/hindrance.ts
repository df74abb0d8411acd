// @ts-nocheck
import { NightlatchError } from "../core/errors.ts";
import { isGoingDown, listShutdownBlockers } from "../host/shutdown.ts";
import type { System } from "../system/port.ts";

/** Whoever may hold a lock chose the words. */
const SHOWN_LENGTH = 60;

/**
 * Nothing speaks against a shutdown now: none is under way, and nobody holds one up. Root's
 * `systemctl reboot` heeds such locks since systemd 257 only (its NEWS), 252's `systemctl kexec`
 * does not; apt holds one while packages, the next kernel among them, are half installed.
 * @throws NightlatchError reboot/not-now
 */
export async function requireNoHindrance(system: Pick<System, "run">): Promise<void> {
  const blockers = await listShutdownBlockers(system);
  if (blockers.length > 0) {
    const holders = blockers.map(({ who, why, pid }) => `${quote(who)} (process ${pid}): ${quote(why)}`);
    throw notNow(
      `the shutdown is held up by ${holders.join(" and by ")}`,
      "Wait until that is done, or end the process. See: systemd-inhibit --list",
    );
  }
  if (await isGoingDown(system)) {
    throw notNow(
      "the system is going down already, or its systemd does not answer",
      "Let it end, or call it off: systemctl cancel. What it has stopped comes back by: systemctl start {sockets,timers,paths,default}.target",
    );
  }
}

const quote = (text: string): string => JSON.stringify(text.slice(0, SHOWN_LENGTH));

function notNow(message: string, remedy: string): NightlatchError {
  return new NightlatchError("reboot/not-now", message, {
    meaning: "The machine does not reboot. Nothing is staged.",
    remedy,
  });
}
