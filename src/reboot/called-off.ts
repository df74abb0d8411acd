import type { System } from "../system/port.ts";
import { resumeDefault } from "./default-handler.ts";
import { runSystemctl } from "./go.ts";
import { isGoingDown } from "./shutdown-job.ts";

/**
 * Every shutdown starts this timer, which outlives one that is called off, as nothing else of ours does. Its service takes back what was
 * staged once no shutdown is under way (packaging/systemd/nightlatch-called-off.timer).
 */
const TIMER = "nightlatch-called-off.timer";
const SERVICE = "nightlatch-called-off.service";

/** All of a shutdown that was called off is taken back: the default handler waits again, and the timer stops. */
export async function endCalledOff(power: Pick<System, "run">): Promise<void> {
  await resumeDefault(power);
  await runSystemctl(power, ["stop", TIMER]);
}

/**
 * A shutdown that was called off a moment ago takes nothing back of what is staged from now on. A clean-up that it began ends first.
 * @throws NightlatchError reboot/blocked
 */
export async function settleCalledOff(power: Pick<System, "run">): Promise<void> {
  const { status } = await power.run({ argv: ["systemctl", "is-active", "--quiet", TIMER], deadlineMs: 20_000 });
  // One that is still under way needs its timer.
  if (status !== 0 || (await isGoingDown(power))) return;
  await endCalledOff(power);
  await runSystemctl(power, ["stop", SERVICE]);
}
