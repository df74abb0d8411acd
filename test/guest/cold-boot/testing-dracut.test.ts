import { testColdBoot } from "../harness/cold-boot.ts";

testColdBoot("Debian testing, dracut", {
  suite: "forky",
  generator: "dracut",
  compression: "zstd",
  shelf: ["clevis-dracut"],
});
