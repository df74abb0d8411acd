/**
 * Enough of a kernel for `kernelRelease`: the version string of a bzImage stands within its setup
 * sectors.
 */
// @ts-nocheck

export const KERNEL_HEADER_BYTES = 64 * 1024;

/**
 * Reads the release of an x86 kernel from its own header (Documentation/arch/x86/boot.rst: "HdrS"
 * at 0x202, `kernel_version` at 0x20e plus 0x200), e.g. "6.1.0-50-amd64". Null where the image has
 * none.
 */
export function kernelRelease(start: Uint8Array): string | null {
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.byteLength);
  if (bytes.length < 0x210 || bytes.toString("latin1", 0x202, 0x206) !== "HdrS") return null;
  const offset = bytes.readUInt16LE(0x20e);
  if (offset === 0) return null;
  const text = bytes.toString("latin1", offset + 0x200, offset + 0x200 + 128);
  return /^([A-Za-z0-9._+~-]+)[ \0]/.exec(text)?.[1] ?? null;
}
