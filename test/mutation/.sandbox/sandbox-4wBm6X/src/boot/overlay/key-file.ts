// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import type { CpioFile } from "../../formats/initramfs/cpio.ts";
import { formatInitramfsVolume, type InitramfsVolume } from "../../formats/initramfs/crypttab.ts";
import type { InitramfsFacts } from "../initramfs/inspect.ts";
import type { OverlayVolume } from "../initramfs/needed.ts";
import { ERASE, OVERLAY_FOLDER } from "./hand-over.ts";

/**
 * A key-slot= or key file option of before would speak of another key. With a token's option the
 * key file is taken for the token's sealed blob, never for a key (attach_luks_or_plain_or_bitlk of
 * systemd's cryptsetup.c).
 */
const REPLACED =
  /^(?:key-?slot|keyfile-size|keyfile-offset|keyfile-timeout|keyfile-erase|token-timeout|headless|(?:tpm2|fido2|pkcs11)-[^=]*)(?:=|$)/;

/** systemd's own number of tries. */
const USUAL_TRIES = 3;

/**
 * Makes the overlay for systemd-cryptsetup in the initramfs: an etc/crypttab with the path of a
 * key. That comes before tokens and TPM, is erased after its use (keyfile-erase), and leads to the
 * prompt where it fails.
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
    ...crypttabFiles(volumes, systemdOptions),
    ...(handsOver
      ? [
          file("etc/systemd/system/nightlatch-hand-over.service", 0o644, unit),
          file("etc/systemd/system/initrd.target.d/nightlatch.conf", 0o644, wants),
        ]
      : []),
  ];
}

/**
 * Makes the overlay for dracut's own cryptroot-ask. It reads the key that etc/crypttab names, falls
 * back to the prompt, and erases nothing, so a hook does.
 * @throws NightlatchError boot/unsupported
 */
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
  return [
    ...crypttabFiles(volumes, (options) => options),
    file(`${hooks}/pre-pivot/50-nightlatch.sh`, 0o755, hook.join("\n")),
  ];
}

/**
 * Makes the overlay for mkinitcpio's encrypt hook. It takes /crypto_keyfile.bin where `cryptkey=`
 * names no other, falls back to the prompt, and removes the file.
 * @throws NightlatchError boot/unsupported
 */
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

/**
 * Makes the etc/crypttab that systemd will read in the initramfs, and its lines in the order of
 * `volumes`.
 */
export function systemdCrypttab(volumes: readonly OverlayVolume[]): {
  readonly text: string;
  readonly lines: readonly InitramfsVolume[];
} {
  const lines = crypttabLines(volumes, systemdOptions);
  return { lines, text: textOf(lines) };
}

type Options = readonly string[];

/**
 * The key file is erased after its use. One try is ours: after it the prompt is there as often as
 * before; 0 is without end.
 */
function systemdOptions(options: Options): Options {
  const given = /^tries=(\d{1,9})$/.exec(options.findLast((option) => option.startsWith("tries=")) ?? "")?.[1];
  const tries = Number(given ?? USUAL_TRIES);
  const rest = options.filter((option) => !option.startsWith("tries="));
  return [...rest, `tries=${tries === 0 ? 0 : tries + 1}`, "keyfile-erase"];
}

const crypttabLines = (volumes: readonly OverlayVolume[], change: (options: Options) => Options): InitramfsVolume[] =>
  volumes.map(({ volume, key }, index) => (key === null ? volume : withKeyFile(volume, index, change)));

const textOf = (lines: readonly InitramfsVolume[]): string => `${lines.map(formatInitramfsVolume).join("\n")}\n`;

function crypttabFiles(volumes: readonly OverlayVolume[], change: (options: Options) => Options): CpioFile[] {
  const keys = volumes.flatMap(({ key }, index) =>
    key === null ? [] : [{ name: `${OVERLAY_FOLDER}/${index}.key`, mode: 0o400, content: key }],
  );
  return [file("etc/crypttab", 0o600, textOf(crypttabLines(volumes, change))), ...keys];
}

function withKeyFile(volume: InitramfsVolume, index: number, change: (options: Options) => Options): InitramfsVolume {
  const options = change(volume.options.filter((option) => !REPLACED.test(option)));
  return { ...volume, key: `/${OVERLAY_FOLDER}/${index}.key`, options };
}

const file = (name: string, mode: number, text: string): CpioFile => ({ name, mode, content: Buffer.from(text) });
