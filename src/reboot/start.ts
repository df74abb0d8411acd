import { NightlatchError } from "../core/errors.ts";
import { askSystemd, orderSystemd } from "../host/systemd.ts";
import type { System } from "../system/port.ts";

const CLEAN_UP = "nightlatch-clean-up";
const UNITS = [`${CLEAN_UP}.service`, `${CLEAN_UP}.timer`, "nightlatch-called-off.timer"] as const;

/**
 * A staged key must die at the next boot and at its expiry, whoever forgets: the units that see to it are there before anything is
 * staged.
 * @throws NightlatchError reboot/blocked
 */
export async function requireCleanUp(power: Pick<System, "run">): Promise<void> {
  const argv = ["systemctl", "show", "--property=UnitFileState", "--value", ...UNITS] as const;
  const { stdout } = await askSystemd(power, argv);
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

/** The unit's timer counts from its start: a minute more than this (packaging/systemd/nightlatch-clean-up.timer). */
const LIFE_SECONDS = 15 * 60;
const EXPIRY = "nightlatch-expiry";

/**
 * The timer counts anew from now: it runs when what is staged has expired. For another life than its own one more timer does, which is
 * gone after it has run, or with this boot.
 */
export async function restartExpiry(power: Pick<System, "run">, lifeSeconds = LIFE_SECONDS): Promise<void> {
  await must(power, ["systemctl", "restart", `${CLEAN_UP}.timer`]);
  if (lifeSeconds === LIFE_SECONDS) return;
  // There is none in most cases, and then this fails.
  await askSystemd(power, ["systemctl", "stop", `${EXPIRY}.timer`]);
  const when = [`--on-active=${lifeSeconds + 1}`, "--timer-property=AccuracySec=1s"];
  const unit = [`--unit=${EXPIRY}`, "--collect", "--quiet"];
  await must(power, ["systemd-run", ...unit, ...when, "systemctl", "start", `${CLEAN_UP}.service`]);
}

/** An orderly shutdown into the loaded kernel. Returns when it is under way. @throws NightlatchError reboot/blocked */
export async function startKexec(power: Pick<System, "run">): Promise<void> {
  await must(power, ["systemctl", "kexec"]);
}

/** An orderly shutdown, and then the firmware, as ever. @throws NightlatchError reboot/blocked */
export async function startOrdinaryReboot(power: Pick<System, "run">): Promise<void> {
  await must(power, ["systemctl", "reboot"]);
}

/** Into the same kernel, with user space begun anew. @throws NightlatchError reboot/blocked */
export async function startSoftReboot(power: Pick<System, "run">): Promise<void> {
  await must(power, ["systemctl", "soft-reboot"]);
}

const MEANING = "The machine does not reboot.";

function must(power: Pick<System, "run">, argv: readonly [string, ...string[]]): Promise<void> {
  return orderSystemd(power, argv, { meaning: MEANING });
}
