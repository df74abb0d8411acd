import { testNewUser } from "../harness/new-user.ts";

testNewUser(
  "Debian 12, initramfs-tools",
  { suite: "bookworm", generator: "initramfs-tools", compression: "zstd", shelf: ["clevis-initramfs"] },
  ["check/initramfs-clevis", "check/initramfs-driver", "check/not-asked"],
);
