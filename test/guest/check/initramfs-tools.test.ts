import { testGenerator } from "../harness/check-initramfs.ts";

testGenerator({
  suite: "bookworm",
  generator: "initramfs-tools",
  compression: "zstd",
  loader: "grub-bios",
  shelf: ["clevis-initramfs"],
});
