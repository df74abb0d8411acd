import { testKexec } from "../harness/reboot-kexec.ts";

testKexec(
  "Debian 12, initramfs-tools",
  { suite: "bookworm", generator: "initramfs-tools", compression: "zstd" },
  "initramfs-tools",
);
testKexec("Debian 13, dracut", { suite: "trixie", generator: "dracut", compression: "zstd" }, "dracut-systemd");
testKexec(
  "Debian 13, initramfs-tools",
  { suite: "trixie", generator: "initramfs-tools", compression: "zstd" },
  "initramfs-tools",
);
