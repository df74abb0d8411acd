import { testSetUp } from "../harness/set-up.ts";

testSetUp(
  {
    suite: "bookworm",
    generator: "initramfs-tools",
    compression: "zstd",
    loader: "grub-bios",
    shelf: ["clevis-initramfs"],
  },
  {
    files: [],
    spoiler: {
      path: "/etc/initramfs-tools/hooks/zz-spoiler",
      text: '#!/bin/sh\n[ "$1" = prereqs ] && echo clevis && exit 0\nrm -f "$DESTDIR/usr/bin/jose"\n',
    },
    deadline: ["etc/nightlatch/.curlrc", "conf/conf.d/nightlatch", "usr/libexec/nightlatch-wait"],
  },
);
