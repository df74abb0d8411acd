import { testColdBoot } from "../harness/cold-boot.ts";

testColdBoot("Debian 12, initramfs-tools", {
  suite: "bookworm",
  generator: "initramfs-tools",
  compression: "zstd",
  shelf: ["clevis-initramfs"],
});
