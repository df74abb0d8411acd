import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { must, run } from "../../script/program.ts";
import { makeLuksVolume } from "./harness/luks-volume.ts";
import { whyNoGuest } from "./harness/requirements.ts";

test("a volume made without a device mapper is LUKS2 that opens with its passphrase alone", {
  skip: whyNoGuest(),
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-test-"));
  try {
    const file = join(folder, "volume.img");
    await makeLuksVolume(file, "data", 8, { passphrase: "orange" });
    const open = ["cryptsetup", "open", "--test-passphrase", "--key-file", "-", file] as const;
    assert.equal((await run(open, 60_000, Buffer.from("orange"))).status, 0);
    assert.equal((await run(open, 60_000, Buffer.from("lemon"))).status, 2);
    const metadata = JSON.parse(await must(["cryptsetup", "luksDump", "--dump-json-metadata", file]));
    assert.equal(metadata.segments["0"].offset, String(16 << 20));
    assert.equal(metadata.segments["0"].encryption, "aes-xts-plain64");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
