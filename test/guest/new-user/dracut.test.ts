import { testNewUser } from "../harness/new-user.ts";

testNewUser(
  "Debian 13, dracut",
  { suite: "trixie", generator: "dracut", compression: "zstd", shelf: ["clevis-dracut"] },
  ["check/initramfs-clevis", "check/initramfs-network", "check/not-asked"],
);
