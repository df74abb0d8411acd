import { NightlatchError } from "../core/errors.ts";
import type { CpioFile } from "../formats/cpio.ts";
import { formatInitramfsVolume, type InitramfsVolume } from "../formats/initramfs-crypttab.ts";
import { ERASE, OVERLAY_FOLDER } from "./hand-over.ts";
import type { InitramfsFacts } from "./initramfs.ts";
import type { OverlayVolume } from "./needed.ts";

/** A key-slot= or key file option of before would speak of another key. */
const REPLACED =
  /^(?:key-?slot|keyfile-size|keyfile-offset|keyfile-timeout|keyfile-erase|token-timeout|headless)(?:=|$)/;

/**
 * systemd-cryptsetup in the initramfs: etc/crypttab with a path, which comes before tokens and TPM, is erased after its use
 * (keyfile-erase), and whose failure leads to the prompt.
 */
export function systemdFiles(volumes: readonly OverlayVolume[], handsOver: boolean): CpioFile[] {
  const unit = [
    "[Unit]",
    "Description=Keys of volumes that are opened later",
    "DefaultDependencies=no",
    "Before=initrd-cleanup.service initrd-switch-root.target",
    "[Service]",
    "Type=oneshot",
    `ExecStart=/${OVERLAY_FOLDER}/hand-over`,
    "",
  ].join("\n");
  const wants = "[Unit]\nWants=nightlatch-hand-over.service\n";
  return [
    ...crypttabFiles(volumes, ["keyfile-erase"]),
    ...(handsOver
      ? [
          file("etc/systemd/system/nightlatch-hand-over.service", 0o644, unit),
          file("etc/systemd/system/initrd.target.d/nightlatch.conf", 0o644, wants),
        ]
      : []),
  ];
}

/** dracut's own cryptroot-ask: it reads etc/crypttab's key, falls back to the prompt, and erases nothing, so a hook does. */
export function dracutFiles(
  facts: Pick<InitramfsFacts, "has">,
  volumes: readonly OverlayVolume[],
  handsOver: boolean,
): CpioFile[] {
  const hooks = facts.has("var/lib/dracut/hooks") ? "var/lib/dracut/hooks" : "usr/lib/dracut/hooks";
  const keys = volumes.flatMap(({ key }, index) => (key === null ? [] : [`/${OVERLAY_FOLDER}/${index}.key`]));
  // Sourced by dracut: it must neither exit nor fail.
  const hook = [
    ...keys.map((path) => `${ERASE(path)} || :`),
    ...(handsOver ? [`/${OVERLAY_FOLDER}/hand-over`] : []),
    "",
  ];
  return [...crypttabFiles(volumes, []), file(`${hooks}/pre-pivot/50-nightlatch.sh`, 0o755, hook.join("\n"))];
}

/** The encrypt hook takes /crypto_keyfile.bin where `cryptkey=` names no other, falls back to the prompt, and removes it. */
export function mkinitcpioFiles(volumes: readonly OverlayVolume[]): CpioFile[] {
  return volumes.flatMap(({ volume, key }) => {
    if (key === null) return [];
    if (volume.key !== "none") {
      throw new NightlatchError(
        "boot/unsupported",
        "cryptkey= on the command line keeps mkinitcpio from any other key",
        {
          meaning: "Nothing was changed.",
        },
      );
    }
    return [{ name: "crypto_keyfile.bin", mode: 0o400, content: key }];
  });
}

function crypttabFiles(volumes: readonly OverlayVolume[], added: readonly string[]): CpioFile[] {
  const lines = volumes.map(({ volume, key }, index) =>
    formatInitramfsVolume(key === null ? volume : withKeyFile(volume, index, added)),
  );
  const keys = volumes.flatMap(({ key }, index) =>
    key === null ? [] : [{ name: `${OVERLAY_FOLDER}/${index}.key`, mode: 0o400, content: key }],
  );
  return [file("etc/crypttab", 0o600, `${lines.join("\n")}\n`), ...keys];
}

function withKeyFile(volume: InitramfsVolume, index: number, added: readonly string[]): InitramfsVolume {
  const options = [...volume.options.filter((option) => !REPLACED.test(option)), ...added];
  return { ...volume, key: `/${OVERLAY_FOLDER}/${index}.key`, options };
}

const file = (name: string, mode: number, text: string): CpioFile => ({ name, mode, content: Buffer.from(text) });
