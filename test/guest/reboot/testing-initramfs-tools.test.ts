import { testKexec } from "../harness/reboot-kexec.ts";

testKexec(
  "Debian testing, initramfs-tools",
  { suite: "forky", generator: "initramfs-tools", compression: "zstd" },
  "initramfs-tools",
);
