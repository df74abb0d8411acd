import { existsSync } from "node:fs";
import { debianMirror } from "./mirror.ts";

const PROGRAMS = [
  "/usr/bin/qemu-system-x86_64",
  "/usr/bin/qemu-img",
  "/usr/sbin/debootstrap",
  "/usr/sbin/mke2fs",
  "/usr/sbin/cryptsetup",
  "/usr/bin/socat",
  "/usr/bin/zstd",
  "/usr/sbin/sfdisk",
  "/usr/sbin/mkfs.vfat",
  "/usr/share/OVMF/OVMF_CODE_4M.fd",
  "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
  "/usr/share/OVMF/OVMF_VARS_4M.ms.fd",
];

/** Why no guest can be made here, for a test's `skip`; false where one can. */
export function whyNoGuest(): string | false {
  if (process.platform !== "linux" || process.arch !== "x64") return "guests are made for amd64 Linux only";
  if (process.getuid?.() !== 0) return "debootstrap and chroot need root";
  const missing = PROGRAMS.filter((program) => !existsSync(program));
  if (missing.length > 0) return `missing: ${missing.join(", ")}; run script/bootstrap`;
  return debianMirror() === null ? "apt has no Debian archive configured here (apt-get indextargets)" : false;
}

/** Why a test waits for `script/test --full`; false where that is what runs. */
export function onlyInFull(): string | false {
  return whyNoGuest() || (process.env["NIGHTLATCH_TEST_FULL"] ? false : "runs with script/test --full");
}
