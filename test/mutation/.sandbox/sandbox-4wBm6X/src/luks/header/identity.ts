// @ts-nocheck
import { createHash } from "node:crypto";
import type { Luks2Digest } from "../../formats/luks/luks2-metadata.ts";
import type { VolumeIdentity } from "../../formats/own/volume-record.ts";
import type { Luks1Volume, Luks2Volume, VolumeHeader } from "./header.ts";

interface Digest {
  readonly hash: string;
  readonly iterations: number;
  readonly salt: Buffer;
  readonly digest: Buffer;
}

/**
 * Gives what tells this volume from every other, as its header has it: docs/format/bound.md, "What
 * identifies a volume key". null where the header does not say it of all of its data.
 */
export function identityOf(header: VolumeHeader): VolumeIdentity | null {
  return header.version === 1 ? identityOfLuks1(header) : identityOfLuks2(header);
}

function identityOfLuks1({ hash, keyDigest, cipherName, cipherMode }: Luks1Volume): VolumeIdentity {
  return { key: keyIdentity({ hash, ...keyDigest }), cipher: `${cipherName}-${cipherMode}` };
}

function identityOfLuks2(header: Luks2Volume): VolumeIdentity | null {
  // A reencryption keeps what was and what will be as further segments, which take no part in
  // opening the volume.
  const live = [...header.segments].filter(([, { isBackup }]) => !isBackup);
  const found = live.map(([number, { type, encryption, integrity }]) => {
    const own = [...header.digests.values()].filter(({ segments }) => segments.includes(number));
    const digest = own.length === 1 && own[0] !== undefined ? readDigest(own[0]) : null;
    if (type !== "crypt" || encryption === null || digest === null) return null;
    return { key: keyIdentity(digest), cipher: integrity === null ? encryption : `${encryption}+${integrity}` };
  });
  const [first] = found;
  if (first == null) return null;
  return found.every((one) => one?.key === first.key && one.cipher === first.cipher) ? first : null;
}

/**
 * Tells whether what opens this keyslot is the key of the volume's data. A header can hold keyslots
 * of other keys too, and whoever edits it can put an old keyslot beside data of his own: cryptsetup
 * proves a keyslot by the digest that names it alone.
 */
export function isSlotOfData(header: VolumeHeader, slot: number): boolean {
  if (header.version === 1) return true;
  const identity = identityOfLuks2(header);
  const naming = [...header.digests.values()].filter(({ keyslots }) => keyslots.includes(slot));
  const digest = naming.length === 1 && naming[0] !== undefined ? readDigest(naming[0]) : null;
  return identity !== null && digest !== null && keyIdentity(digest) === identity.key;
}

function readDigest({ type, hash, iterations, saltBase64, digestBase64 }: Luks2Digest): Digest | null {
  if (type !== "pbkdf2" || hash === null || iterations === null || saltBase64 === null || digestBase64 === null) {
    return null;
  }
  return { hash, iterations, salt: Buffer.from(saltBase64, "base64"), digest: Buffer.from(digestBase64, "base64") };
}

function keyIdentity({ hash, iterations, salt, digest }: Digest): string {
  const parts = ["nightlatch-volume-key", hash, iterations, salt.toString("base64"), digest.toString("base64")];
  return createHash("sha256").update(JSON.stringify(parts)).digest().toString("base64url");
}
