// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { findOption } from "../../formats/systemd/crypttab.ts";
import { luksBeneath } from "../../host/block-devices.ts";
import { readCrypttab } from "../../host/crypttab.ts";
import { askSystemd } from "../../host/systemd.ts";
import type { PlanPower } from "./reboot-plan.ts";
import { planSystemVolumes } from "./system-volumes.ts";

const STAYS = "x-initrd.attach";

/**
 * Whether a soft reboot leaves the root that runs: then nothing holds the root's volume open.
 * ostree prepares another root at /run/nextroot, which systemd goes to where it is there
 * (systemd-soft-reboot.service(8)).
 */
async function replacesRoot(system: Pick<PlanPower, "stat">): Promise<boolean> {
  for (const path of ["/run/ostree-booted", "/run/nextroot"]) if ((await system.stat(path)) !== null) return true;
  return false;
}

/**
 * A soft reboot (systemd-soft-reboot.service(8)) comes back by itself: this systemd knows it, and
 * every volume that it closes opens without a person. It closes what an ordinary shutdown closes:
 * all of crypttab but the root's, and what is marked x-initrd.attach (crypttab(5)).
 * @throws NightlatchError reboot/blocked
 */
export async function requireSoftReboot(system: PlanPower): Promise<void> {
  const argv = ["systemctl", "show", "--property=LoadState", "--value", "soft-reboot.target"] as const;
  const { stdout } = await askSystemd(system, argv);
  if (stdout.toString("latin1").trim() !== "loaded") {
    throw new NightlatchError("reboot/blocked", "this system's systemd knows no soft reboot", {
      meaning: "It came with systemd 254. The machine does not reboot.",
      remedy: "Take the way by kexec, which is the default: nightlatch reboot",
    });
  }
  const staying = (await readCrypttab(system)).entries.filter((entry) => findOption(entry, STAYS) !== undefined);
  const beneathRoot = (await replacesRoot(system)) ? [] : await luksBeneath(system, "/");
  const kept = new Set(beneathRoot.map((uuid) => uuid.toLowerCase()));
  for (const { name, found, opening } of await planSystemVolumes(
    system,
    new Set(staying.map(({ volume }) => volume)),
  )) {
    // One that names a key socket is answered there, as at a boot.
    if (opening.kind !== "disposable" || kept.has(found.header?.uuid.toLowerCase() ?? "")) continue;
    throw new NightlatchError(
      "reboot/blocked",
      `${name} (${found.device}) would be closed by a soft reboot, and ask for its key`,
      {
        meaning: "The machine does not reboot.",
        remedy: `Mark it ${STAYS} in /etc/crypttab and run systemctl daemon-reload: it stays open then. Or take the way by kexec.`,
      },
    );
  }
}
