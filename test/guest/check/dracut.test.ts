import { testGenerator } from "../harness/check-initramfs.ts";

testGenerator({
  suite: "trixie",
  generator: "dracut",
  compression: "zstd",
  loader: "grub-bios",
  shelf: ["clevis-dracut"],
});
