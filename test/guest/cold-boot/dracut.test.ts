import { testColdBoot } from "../harness/cold-boot.ts";

testColdBoot("Debian 13, dracut", {
  suite: "trixie",
  generator: "dracut",
  compression: "zstd",
  shelf: ["clevis-dracut"],
});
