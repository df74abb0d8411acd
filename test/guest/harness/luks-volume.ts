/**
 * LUKS2 images with a file system inside, made with no device mapper: cryptsetup formats the header
 * on the image file with a volume key that we chose, and the payload is a plain ext4 image that we
 * encrypt ourselves, as dm-crypt would (aes-xts-plain64, 4096-byte sectors, the IV being the
 * sector's number in units of 512 bytes, little endian).
 */
import { createCipheriv, randomBytes } from "node:crypto";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { must } from "../../../script/program.ts";

const SECTOR_BYTES = 4096;
const HEADER_MIB = 16; // cryptsetup's default data offset; a test holds it to that

export interface LuksOptions {
  readonly passphrase: string;
  /** For /dev/disk/by-uuid; a random one where absent. */
  readonly uuid?: string;
  /** Written into a new file system; path → contents. */
  readonly files?: Readonly<Record<string, string>>;
}

/**
 * A LUKS2 image of `sizeMiB` beside the header, with an ext4 labelled `label` that holds the files.
 */
export async function makeLuksVolume(
  target: string,
  label: string,
  sizeMiB: number,
  options: LuksOptions,
): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "nightlatch-volume-"));
  try {
    const tree = join(scratch, "tree");
    mkdirSync(tree, { mode: 0o755 });
    for (const [path, contents] of Object.entries(options.files ?? {})) {
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(join(tree, path), contents);
    }
    const plain = join(scratch, "plain.raw");
    await must(["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-L", label, "-d", tree, plain, `${sizeMiB}M`]);
    await encryptImage(plain, target, options);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Writes a LUKS2 image whose payload is `plain`, whose size must be whole sectors. */
export async function encryptImage(plain: string, target: string, options: LuksOptions): Promise<void> {
  const payloadBytes = statSync(plain).size;
  if (payloadBytes % SECTOR_BYTES !== 0) throw new Error(`${plain} is not whole sectors`);
  const headerBytes = HEADER_MIB << 20;
  const volumeKey = randomBytes(64);
  const scratch = mkdtempSync(join(tmpdir(), "nightlatch-key-"));
  try {
    const keyFile = join(scratch, "volume-key");
    writeFileSync(keyFile, volumeKey, { mode: 0o600 });
    writeFileSync(target, "");
    truncateSync(target, headerBytes + payloadBytes);
    const cipher = [
      "--cipher",
      "aes-xts-plain64",
      "--key-size",
      "512",
      "--sector-size",
      String(SECTOR_BYTES),
      "--volume-key-file",
      keyFile,
    ];
    // The passphrase is a test's own: a slow derivation would only be slower still under emulation.
    const derivation = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    const uuid = options.uuid === undefined ? [] : ["--uuid", options.uuid];
    const argv = [
      "cryptsetup",
      "luksFormat",
      "-q",
      "--type",
      "luks2",
      ...cipher,
      ...derivation,
      ...uuid,
      "--key-file",
      "-",
      target,
    ];
    await must(argv as [string, ...string[]], 120_000, Buffer.from(options.passphrase));
    encryptSectors(plain, target, headerBytes, volumeKey);
  } finally {
    volumeKey.fill(0);
    rmSync(scratch, { recursive: true, force: true });
  }
}

function encryptSectors(plain: string, target: string, offsetBytes: number, volumeKey: Buffer): void {
  const chunk = Buffer.alloc(256 * SECTOR_BYTES);
  const [source, sink] = [openSync(plain, "r"), openSync(target, "r+")];
  try {
    for (let atBytes = 0; ; atBytes += chunk.length) {
      const lengthBytes = readSync(source, chunk, 0, chunk.length, atBytes);
      for (let inChunk = 0; inChunk < lengthBytes; inChunk += SECTOR_BYTES) {
        const iv = Buffer.alloc(16);
        iv.writeBigUInt64LE(BigInt((atBytes + inChunk) / 512));
        const sector = chunk.subarray(inChunk, inChunk + SECTOR_BYTES);
        createCipheriv("aes-256-xts", volumeKey, iv).update(sector).copy(sector);
      }
      if (lengthBytes === 0) break;
      writeSync(sink, chunk, 0, lengthBytes, offsetBytes + atBytes);
    }
  } finally {
    closeSync(source);
    closeSync(sink);
  }
}
