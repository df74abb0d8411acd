// @ts-nocheck
import type { CpioFile } from "../../formats/initramfs/cpio.ts";

/**
 * The overlay's own folder, in the initramfs's root: so no link of the initramfs is replaced by a
 * folder.
 */
export const OVERLAY_FOLDER = "nightlatch";

/**
 * Shell words that erase a key which the initramfs uses no more: other bytes over it, in place,
 * then gone. The shell does it alone, for dracut brings no dd.
 */
export const ERASE = (path: string): string => `printf '%064d' 0 1<>"${path}"; rm -f "${path}"`;

/**
 * Shell words that put a key's bytes into a pipe. `cat` would not do: busybox's splices the file's
 * own page into the pipe, and what overwrites the file an instant later is what the reader gets.
 * busybox and klibc have dd, and initramfs-tools has one of them.
 */
export const PIPE = (path: string): string => `dd if="${path}" bs=64 count=1 2>/dev/null`;

/**
 * A key for a volume that is opened after the initramfs, where systemd looks for it under the
 * volume's name.
 */
export interface LaterKey {
  readonly name: string;
  readonly key: Uint8Array;
}

/**
 * Makes the files that carry keys from the initramfs to /run/cryptsetup-keys.d, where systemd looks
 * for a volume whose crypttab names no key (crypttab(5)). An archive cannot put them there itself,
 * for /run is mounted over.
 */
export function handOverFiles(keys: readonly LaterKey[]): CpioFile[] {
  if (keys.length === 0) return [];
  return [
    { name: `${OVERLAY_FOLDER}/hand-over`, mode: 0o755, content: Buffer.from(HAND_OVER) },
    ...keys.map(({ name, key }) => ({ name: `${OVERLAY_FOLDER}/later/${name}.key`, mode: 0o400, content: key })),
  ];
}

const HAND_OVER = `#!/bin/sh
umask 077
mkdir -p /run/cryptsetup-keys.d /run/nightlatch-reboot
for key in /${OVERLAY_FOLDER}/later/*.key; do
  [ -f "$key" ] || continue
  cat "$key" >"/run/cryptsetup-keys.d/\${key##*/}"
  printf '%s\\n' "\${key##*/}" >>/run/nightlatch-reboot/handed-over
  ${ERASE("$key")}
done
exit 0
`;
