// @ts-nocheck
import { askGenerator, type PlannedAttach } from "../../boot/initramfs/cryptsetup-generator.ts";
import { systemdCrypttab } from "../../boot/overlay/key-file.ts";
import { NightlatchError } from "../../core/errors.ts";
import type { InitramfsVolume } from "../../formats/initramfs/crypttab.ts";
import type { System } from "../../system/port.ts";
import type { PlannedVolume, RebootPlan } from "../plan/reboot-plan.ts";

const GENERATOR = "systemd's generator";
const NO_KEY = new Uint8Array();

/**
 * The plan, once systemd has said that in the initramfs it will use the keys that the overlay
 * brings: its own generator reads the overlay's crypttab and the next boot's command line. A plan
 * whose initramfs opens nothing by systemd, or of a system that has no generator to ask, is as it
 * was.
 * @throws NightlatchError reboot/not-proved where it would do otherwise
 */
export async function proveOverlay(system: Pick<System, "run">, plan: RebootPlan): Promise<RebootPlan> {
  const { generator, volumes, cmdline } = plan;
  if (generator !== "dracut-systemd" && generator !== "mkinitcpio-systemd") return plan;
  const inside = volumes.filter((volume) => volume.stage === "initramfs");
  if (!inside.some(({ opening }) => opening.kind === "disposable")) return plan;
  const { text, lines } = systemdCrypttab(
    inside.map(({ line, opening }) => ({ volume: line, key: opening.kind === "disposable" ? NO_KEY : null })),
  );
  const planned = await askGenerator(system, text, cmdline);
  if (planned === null) return plan;
  const known = new Set(lines.map(({ name }) => name));
  const more = planned.find(({ name }) => !known.has(name));
  if (more !== undefined)
    throw notProved(`it would open ${more.name || "something"} as well, of which nothing is known here`);
  const heard = (volume: PlannedVolume): PlannedVolume =>
    volume.opening.kind === "disposable" && volume.stage === "initramfs"
      ? { ...volume, opening: { kind: "disposable", heardBy: GENERATOR } }
      : volume;
  for (const [index, { opening, name }] of inside.entries()) {
    const line = lines[index];
    const wrong = opening.kind !== "disposable" || line === undefined ? null : whyNotUsed(line, planned);
    if (wrong !== null) throw notProved(`for ${name} ${wrong}`);
  }
  return { ...plan, volumes: volumes.map(heard) };
}

/**
 * Options under which systemd-cryptsetup takes a key file for something else (cryptsetup.c), or
 * opens nothing at a boot.
 */
const OTHERWISE =
  /^(?:(?:tpm2-device|fido2-device|pkcs11-uri|header|keyfile-offset|keyfile-size|key-slot)=|noauto$|tcrypt|bitlk|plain$)/;

function whyNotUsed(line: InitramfsVolume, planned: readonly PlannedAttach[]): string | null {
  const [attach, ...others] = planned.filter(({ name }) => name === line.name);
  if (attach === undefined) return "it would open nothing";
  if (others.length > 0) return "it would open more than one volume by that name";
  if (attach.key !== line.key) return `it would use ${attach.key === "" ? "no key" : `the key ${attach.key}`}`;
  const otherwise = attach.options.find((option) => OTHERWISE.test(option));
  return otherwise === undefined ? null : `it would open it with ${otherwise}, and take the key for something else`;
}

function notProved(what: string): NightlatchError {
  return new NightlatchError(
    "reboot/not-proved",
    `systemd's own generator would not use the keys of the next boot: ${what}`,
    {
      meaning: "The machine would stop at its passphrase prompt. Nothing was changed.",
      remedy:
        "Look at the kernel's command line (luks.* and rd.luks.*) and at /etc/crypttab; or reboot by systemctl reboot, and type the passphrase.",
    },
  );
}
