// @ts-nocheck
import { NightlatchError } from "../core/errors.ts";
import { askSystemd, orderSystemd } from "../host/systemd.ts";
import type { System } from "../system/port.ts";

const CLEAN_UP = "nightlatch-clean-up";
const UNITS = [`${CLEAN_UP}.service`, `${CLEAN_UP}.timer`, "nightlatch-called-off.timer"] as const;

/**
 * A staged key must die at the next boot and at its expiry, whoever forgets: the units that see to
 * it are there before anything is staged.
 * @throws NightlatchError reboot/blocked
 */
export async function requireCleanUp(system: Pick<System, "run">): Promise<void> {
  const argv = ["systemctl", "show", "--property=UnitFileState", "--value", ...UNITS] as const;
  const { stdout } = await askSystemd(system, argv);
  const states = stdout
    .toString("latin1")
    .split("\n")
    .filter((line) => line !== "");
  if (states.length === UNITS.length && states.every((state) => state === "enabled")) return;
  throw new NightlatchError("reboot/blocked", `not all of ${UNITS.join(", ")} are enabled`, {
    meaning: "Nothing would remove the disposable keys after the reboot, or if it is called off. Nothing was changed.",
    remedy: `Run: systemctl enable ${UNITS.join(" ")}`,
  });
}

/**
 * For how long what is staged waits for its reboot. The clean-up's timer counts a minute more
 * (packaging/systemd/nightlatch-clean-up.timer).
 */
export const LIFE_SECONDS = 15 * 60;
const EXPIRY = "nightlatch-expiry";

/**
 * The clean-up's timer counts anew from now: it runs when what is staged has expired. For another
 * life than its own one more timer runs, which is gone after it has run, or with this boot.
 * @throws NightlatchError reboot/blocked
 */
export async function restartExpiry(system: Pick<System, "run">, lifeSeconds = LIFE_SECONDS): Promise<void> {
  await order(system, ["systemctl", "restart", `${CLEAN_UP}.timer`]);
  if (lifeSeconds === LIFE_SECONDS) return;
  // There is none in most cases, and then this fails.
  await askSystemd(system, ["systemctl", "stop", `${EXPIRY}.timer`]);
  const when = [`--on-active=${lifeSeconds + 1}`, "--timer-property=AccuracySec=1s"];
  const unit = [`--unit=${EXPIRY}`, "--collect", "--quiet"];
  await order(system, ["systemd-run", ...unit, ...when, "systemctl", "start", `${CLEAN_UP}.service`]);
}

function order(system: Pick<System, "run">, argv: readonly [string, ...string[]]): Promise<void> {
  return orderSystemd(system, argv, { meaning: "The machine does not reboot." });
}
