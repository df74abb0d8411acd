/** This machine's systemd-cryptenroll on a volume with all that we bind. */
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { type Enroller, NEW_PASSPHRASE, noSuchVolume, worksBeside } from "../../support/enrolled-beside.ts";
import { makeFolder, PASSPHRASE } from "../../support/volumes.ts";

const noEnroll =
  spawnSync("systemd-cryptenroll", ["--version"]).error === undefined ? false : "systemd-cryptenroll is not installed";

test("systemd-cryptenroll lists, adds and wipes beside ours, and all of ours opens afterwards", {
  skip: noEnroll || noSuchVolume,
}, async () => {
  const env = { ...process.env, PASSWORD: PASSPHRASE, NEWPASSWORD: NEW_PASSPHRASE };
  const here: Enroller = {
    folder: makeFolder(),
    enroll: async (image, ...words) => {
      const { status, stdout, stderr } = spawnSync("systemd-cryptenroll", [...words, image], { env, encoding: "utf8" });
      if (status !== 0) throw new Error(`systemd-cryptenroll ${words.join(" ")}: ${stderr}`);
      return stdout;
    },
  };
  await worksBeside(here);
});
