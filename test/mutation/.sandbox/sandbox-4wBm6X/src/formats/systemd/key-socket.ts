// @ts-nocheck
import { isVolumeName } from "./crypttab.ts";

/**
 * What systemd-cryptsetup binds its end of the key socket to: NUL, a random number in hexadecimal,
 * `/cryptsetup/`, the volume (crypttab(5), AF_UNIX KEY FILES).
 */
interface KeySocketPeer {
  /**
   * `cryptsetup`, or `cryptsetup-tpm2` and the like, which ask for an encrypted blob and not for a
   * key.
   */
  readonly kind: string;
  readonly volume: string;
}

const PATTERN = /^\0[0-9a-f]{1,16}\/(cryptsetup(?:-[a-z0-9-]+)?)\/([^/]+)$/;

/**
 * Reads the name of a peer of the key socket. Null for every name that systemd-cryptsetup and its
 * like do not use.
 */
export function parseKeySocketPeer(name: Uint8Array): KeySocketPeer | null {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(name);
  } catch {
    return null;
  }
  const [, kind, volume] = PATTERN.exec(text) ?? [];
  if (kind === undefined || volume === undefined || !isVolumeName(volume)) return null;
  return { kind, volume };
}
