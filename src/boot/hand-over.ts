import type { CpioFile } from "../formats/cpio.ts";

/** The overlay's own folder in the initramfs: in its root, so that no link of the initramfs is replaced by a folder. */
export const OVERLAY_FOLDER = "nightlatch";

/** A key that the initramfs uses no more: zeros over the bytes, then gone. dd is there in busybox, klibc and coreutils. */
export const ERASE = (path: string): string => {
  return `dd if=/dev/zero of="${path}" bs=64 count=1 conv=notrunc 2>/dev/null; rm -f "${path}"`;
};

/**
 * A key's bytes to standard output. Never `cat`: busybox's splices the file's own page into the pipe, and the zeros that overwrite
 * the file an instant later are what the reader gets.
 */
export const COPY = (path: string): string => `dd if="${path}" bs=64 count=1 2>/dev/null`;

/** A key for a volume that is opened after the initramfs, where systemd looks for it under the volume's name. */
export interface LaterKey {
  readonly name: string;
  readonly key: Uint8Array;
}

/**
 * Carries keys from the initramfs to /run/cryptsetup-keys.d, where systemd looks for a volume whose crypttab names no key
 * (crypttab(5)). An archive cannot put them there: /run is mounted over.
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
  ${COPY("$key")} >"/run/cryptsetup-keys.d/\${key##*/}"
  printf '%s\\n' "\${key##*/}" >>/run/nightlatch-reboot/handed-over
  ${ERASE("$key")}
done
exit 0
`;
