import { testSetUp } from "../harness/set-up.ts";

testSetUp(
  {
    suite: "forky",
    generator: "dracut",
    compression: "zstd",
    loader: "grub-bios",
    shelf: ["clevis-dracut"],
  },
  {
    files: ["/etc/dracut.conf.d/nightlatch-network.conf"],
    spoiler: { path: "/etc/dracut.conf.d/spoiler.conf", text: 'omit_dracutmodules+=" clevis-pin-tang "\n' },
    deadline: [
      "etc/nightlatch/.curlrc",
      "usr/lib/systemd/system/clevis-luks-askpass.service.d/nightlatch.conf",
      "usr/lib/systemd/system/nightlatch-wait.service",
      "usr/libexec/nightlatch-wait",
    ],
  },
);
