import { testColdBoot } from "../harness/cold-boot.ts";

testColdBoot("Debian testing, initramfs-tools", {
  suite: "forky",
  generator: "initramfs-tools",
  compression: "zstd",
  shelf: ["clevis-initramfs"],
});
