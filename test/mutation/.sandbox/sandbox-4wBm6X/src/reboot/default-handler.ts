// @ts-nocheck
import { REBOOT_FOLDER } from "../core/places.ts";
import { askSystemd, orderSystemd } from "../host/systemd.ts";
import type { System } from "../system/port.ts";

const DROP_IN = "/etc/systemd/system/systemd-reboot.service.d/nightlatch.conf";
const UNIT = "nightlatch-stage.service";
/**
 * A kernel that somebody else loaded, as Debian's kexec-tools do at each reboot, has no keys: it is
 * not ours to start.
 */
const STAGED = `${REBOOT_FOLDER}/staged`;

/**
 * The last step of a reboot: into the kernel that was staged, if one was, else through the firmware
 * as ever. The stock unit says SuccessAction=reboot-force on systemd 252 to 257, none of which
 * knows a "kexec if loaded". If even the request for a reboot fails, systemd reboots at once
 * instead of standing still for half an hour (JobTimeoutSec of reboot.target).
 */
const TEXT = `# Written by: nightlatch reboot --make-default. Removed by: nightlatch reboot --undo-default
[Unit]
SuccessAction=none
FailureAction=reboot-force
[Service]
Type=oneshot
ExecStart=
ExecStart=/bin/sh -c 'if [ -e ${STAGED} ] && [ "$$(cat /sys/kernel/kexec_loaded)" = 1 ]; then systemctl --force kexec && exit 0; fi; exec systemctl --force reboot'
`;

type Power = Pick<System, "run" | "writeFile" | "removeFile" | "makeDirectory">;

/**
 * From now on every reboot of the system stages what it can.
 * @throws NightlatchError reboot/blocked
 */
export async function makeDefault(system: Power): Promise<void> {
  await system.makeDirectory(DROP_IN.replace(/\/[^/]+$/, ""), 0o755);
  await system.writeFile(DROP_IN, Buffer.from(TEXT), 0o644);
  await orderSystemd(system, ["systemctl", "daemon-reload"]);
  await orderSystemd(system, ["systemctl", "enable", "--now", UNIT]);
}

/**
 * Stages at the next reboot again, where a shutdown that was called off has stopped what does so.
 * Returns before the unit is up.
 */
export async function resumeDefault(system: Pick<System, "run">): Promise<void> {
  const { status } = await askSystemd(system, ["systemctl", "is-enabled", "--quiet", UNIT]);
  if (status === 0) await orderSystemd(system, ["systemctl", "start", "--no-block", UNIT]);
}

/** Reboots of the system stage nothing any more. @throws NightlatchError reboot/blocked */
export async function undoDefault(system: Power): Promise<void> {
  await system.removeFile(DROP_IN);
  await orderSystemd(system, ["systemctl", "disable", "--now", UNIT]);
  await orderSystemd(system, ["systemctl", "daemon-reload"]);
}

/** From now on the last step of a reboot is a kexec. In /run: it ends with the boot. */
export async function markStaged(system: Pick<System, "writeFile" | "makeDirectory">): Promise<void> {
  await system.makeDirectory(REBOOT_FOLDER, 0o700);
  await system.writeFile(STAGED, new Uint8Array(), 0o600);
}

/** The last step of a reboot goes through the firmware again. */
export async function unmarkStaged(system: Pick<System, "removeFile">): Promise<void> {
  await system.removeFile(STAGED);
}

const OS_INDICATIONS = "/sys/firmware/efi/efivars/OsIndications-8be4df61-93ca-11d2-aa0d-00e098032b8c";
const ATTRIBUTES_BYTES = 4;
/** EFI_OS_INDICATIONS_BOOT_TO_FW_UI (UEFI 8.5.4). */
const BOOT_TO_FW_UI = 1;

/**
 * Whether somebody wants the firmware's own menu (systemctl reboot --firmware-setup), past which a
 * kexec would go.
 */
export async function wantsFirmwareSetup(system: Pick<System, "stat" | "readFile">): Promise<boolean> {
  if ((await system.stat(OS_INDICATIONS)) === null) return false;
  const value = await system.readFile(OS_INDICATIONS, 64);
  return ((value[ATTRIBUTES_BYTES] ?? 0) & BOOT_TO_FW_UI) !== 0;
}
