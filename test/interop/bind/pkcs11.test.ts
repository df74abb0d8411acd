/** `bind DEV pkcs11 URI` and what comes after it: real cryptsetup, SoftHSM2 for the card. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as status } from "../../../src/cli/commands/status.ts";
import { command as unbind } from "../../../src/cli/commands/unbind/unbind.ts";
import { command as unlock } from "../../../src/cli/commands/unlock.ts";
import { folder, keyArgs, makeImage } from "../../support/bind-bench.ts";
import { headerDigest } from "../../support/luks-change.ts";
import { makeSoftHsm, noSoftHsm, SOFTHSM, type SoftHsm } from "../../support/soft-hsm.ts";
import { runCommand } from "../../support/terminal.ts";
import { opens, PASSPHRASE, runTool } from "../../support/volumes.ts";

const URI = "pkcs11:token=ops;object=disk";
const NAMED = `${URI}?module-path=${SOFTHSM}`;
let made = 0;

function makeHsm(type = "rsa:2048"): SoftHsm {
  const hsm = makeSoftHsm(join(folder, `hsm-${made++}`));
  hsm.makeToken("ops", "1234");
  hsm.makeKey("ops", "1234", type, "disk", "01");
  return hsm;
}

const tokensOf = (image: string): unknown[] =>
  Object.values(JSON.parse(runTool(["cryptsetup", "luksDump", "--dump-json-metadata", image]).toString()).tokens);

describe("bind to a card", { skip: noSoftHsm }, () => {
  for (const [version, type] of [
    ["luks2", "rsa:2048"],
    ["luks1", "rsa:2048"],
    ["luks2", "EC:secp384r1"],
  ] as const) {
    test(`${version}, ${type}: bound, tried, bound already, replaced and unbound, by one PIN a command`, async () => {
      const hsm = makeHsm(type);
      const { image, state } = makeImage(version);
      const once = () => ({ passphrase: ["1234"] });
      const bound = await runCommand(bind, [image, "pkcs11", NAMED, ...keyArgs(state)], hsm.system, once());
      assert.equal(bound.status, 0);
      assert.match(bound.lines.join("\n"), /pkcs11:token=ops;object=disk, keyslot 1/);
      const { binding } = bound.result as { binding: Record<string, unknown> };
      assert.deepEqual([binding["kind"], binding["target"], binding["keyslots"]], ["pkcs11", URI, [1]]);

      const tried = await runCommand(unlock, [image, "--test", "--state", state], hsm.system, once());
      assert.equal(tried.status, 0);
      assert.match(tried.lines.join("\n"), /^opens {2}pkcs11 pkcs11:token=ops;object=disk, keyslot 1$/m);

      const again = await runCommand(bind, [image, "pkcs11", NAMED, ...keyArgs(state)], hsm.system, once());
      assert.equal(again.result["outcome"], "bound-already");
      const replaced = await runCommand(
        bind,
        [image, "pkcs11", NAMED, "--replace", ...keyArgs(state)],
        hsm.system,
        once(),
      );
      assert.equal((replaced.result["replaced"] as unknown[]).length, 1);
      const removed = await runCommand(unbind, [image, "pkcs11", ...keyArgs(state)], hsm.system, once());
      assert.equal((removed.result["removed"] as unknown[]).length, 1);
      assert.ok(opens(image, PASSPHRASE));
    });
  }

  test("a wrong PIN changes nothing, and no passphrase is asked for", async () => {
    const hsm = makeHsm();
    const { image, state } = makeImage("luks2");
    const before = await headerDigest(image);
    const typed = ["0000"];
    await assert.rejects(
      runCommand(bind, [image, "pkcs11", NAMED, "--state", state], hsm.system, { passphrase: typed }),
      { code: "card/wrong-pin" },
    );
    assert.equal(await headerDigest(image), before);
  });

  test("no PIN reaches a header: one in the URI is refused, and one that was typed is nowhere", async () => {
    const hsm = makeHsm();
    const { image, state } = makeImage("luks2");
    const before = await headerDigest(image);
    const args = (uri: string) => [image, "pkcs11", uri, ...keyArgs(state)];
    const run = (uri: string) => runCommand(bind, args(uri), hsm.system, { passphrase: "1234" });
    await assert.rejects(run(`${NAMED}&pin-value=1234`), { code: "usage/wrong", message: /PIN in the URI/ });
    await assert.rejects(run(`pkcs11:?module-path=${SOFTHSM}`), { code: "usage/wrong" });
    await assert.rejects(run(`pkcs11:slot-id=0?module-path=${SOFTHSM}`), { code: "usage/wrong" });
    assert.equal(await headerDigest(image), before);
    await run(NAMED);
    const [token] = tokensOf(image) as [{ jwe: { protected: string } }];
    assert.doesNotMatch(Buffer.from(token.jwe.protected, "base64url").toString(), /pin-|1234"/);
  });

  test("status tries it where a credential has the PIN, and else says that it was not tried", async () => {
    const hsm = makeHsm();
    const { image, state } = makeImage("luks2");
    await runCommand(bind, [image, "pkcs11", NAMED, ...keyArgs(state)], hsm.system, { passphrase: ["1234"] });
    const look = async () => {
      const { result } = await runCommand(status, [image, "--state", state], hsm.system);
      const [volume] = result["volumes"] as [{ bindings: [{ opens: unknown; error?: { code: string } }] }];
      const [binding] = volume.bindings;
      return [binding.opens, binding.error?.code];
    };
    assert.deepEqual(await look(), [null, "card/pin-needed"]);
    const credentials = join(hsm.folder, "credentials");
    mkdirSync(credentials, { mode: 0o700 });
    writeFileSync(join(credentials, "nightlatch.pkcs11-pin"), "1234\n", { mode: 0o600 });
    process.env["CREDENTIALS_DIRECTORY"] = credentials;
    try {
      assert.deepEqual(await look(), [true, undefined]);
    } finally {
      delete process.env["CREDENTIALS_DIRECTORY"];
    }
  });
});
