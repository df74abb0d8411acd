// @ts-nocheck
import type { CpioFile } from "../../formats/initramfs/cpio.ts";
import { formatInitramfsVolume, type InitramfsVolume, volumeOption } from "../../formats/initramfs/crypttab.ts";
import type { InitramfsFacts } from "../initramfs/inspect.ts";
import type { OverlayVolume } from "../initramfs/needed.ts";
import { ERASE, OVERLAY_FOLDER, PIPE } from "./hand-over.ts";

const ORDER = "scripts/init-bottom/ORDER";

/**
 * Makes the overlay for cryptsetup-initramfs: its crypttab again, with a keyscript for each volume
 * that has a key. A key file in the third field would mean one try and no prompt
 * (local-top/cryptroot); a keyscript is asked again, with CRYPTTAB_TRIED counted up.
 * @throws NightlatchError boot/unsupported
 */
export function initramfsToolsFiles(
  facts: Pick<InitramfsFacts, "content">,
  volumes: readonly OverlayVolume[],
  handsOver: boolean,
): CpioFile[] {
  const lines = volumes.map(({ volume, key }, index) =>
    formatInitramfsVolume(key === null ? volume : withKeyscript(volume, index)),
  );
  const scripts = volumes.flatMap(({ volume, key }, index) => (key === null ? [] : keyFiles(volume, key, index)));
  const order = `${facts.content(ORDER) ?? ""}/${OVERLAY_FOLDER}/hand-over "$@"\n`;
  return [
    { name: "cryptroot/crypttab", mode: 0o644, content: Buffer.from(`${lines.join("\n")}\n`) },
    ...scripts,
    ...(handsOver ? [{ name: ORDER, mode: 0o644, content: Buffer.from(order) }] : []),
  ];
}

/**
 * key-slot= would also bind the passphrase that is typed; keyfile-* are for a key file that is not
 * used now.
 */
const REPLACED = ["keyscript", "keyslot", "key-slot", "keyfile-size", "keyfile-offset", "tries"];

function withKeyscript(volume: InitramfsVolume, index: number): InitramfsVolume {
  const kept = volume.options.filter((option) => !REPLACED.includes(option.replace(/=.*$/s, "")));
  const tries = Number(volumeOption(volume, "tries") ?? 3);
  // One try is ours; 0 is without end.
  const options = [...kept, `tries=${tries === 0 ? 0 : tries + 1}`, `keyscript=/${OVERLAY_FOLDER}/${index}.sh`];
  return { ...volume, key: "none", options };
}

function keyFiles(volume: InitramfsVolume, key: Uint8Array, index: number): CpioFile[] {
  const path = `/${OVERLAY_FOLDER}/${index}.key`;
  const script = [
    "#!/bin/sh",
    `if [ "\${CRYPTTAB_TRIED:-0}" = 0 ] && [ -s ${path} ]; then`,
    `  ${PIPE(path)}`,
    `  ${ERASE(path)}`,
    "  exit 0",
    "fi",
    ...asBefore(volume),
    "",
  ].join("\n");
  return [
    { name: path.slice(1), mode: 0o400, content: key },
    { name: `${OVERLAY_FOLDER}/${index}.sh`, mode: 0o755, content: Buffer.from(script) },
  ];
}

/** What run_keyscript of lib/cryptsetup/functions would have run for this volume. */
function asBefore(volume: InitramfsVolume): string[] {
  const keyscript = volumeOption(volume, "keyscript");
  if (keyscript === null) return ['exec /lib/cryptsetup/askpass "Please unlock disk $CRYPTTAB_NAME: "'];
  const path = keyscript.startsWith("/") ? keyscript : `/lib/cryptsetup/scripts/${keyscript}`;
  return [
    `CRYPTTAB_KEY="$(printf %b ${quote(volume.key)})"`,
    `CRYPTTAB_OPTION_keyscript="$(printf %b ${quote(path)})"`,
    '[ "$CRYPTTAB_TRIED" = 0 ] || CRYPTTAB_TRIED=$((CRYPTTAB_TRIED - 1))',
    "export CRYPTTAB_KEY CRYPTTAB_OPTION_keyscript CRYPTTAB_TRIED",
    'exec "$CRYPTTAB_OPTION_keyscript" "$CRYPTTAB_KEY"',
  ];
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
