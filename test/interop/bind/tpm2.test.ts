/** Volumes bound to the machine's TPM, by our command and by stock clevis. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as rotate } from "../../../src/cli/commands/rotate/rotate.ts";
import { command as unbind } from "../../../src/cli/commands/unbind/unbind.ts";
import { command as unlock } from "../../../src/cli/commands/unlock.ts";
import { isError } from "../../../src/core/errors.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { keyArgs, makeImage } from "../../support/bind-bench.ts";
import { headerDigest, look, TestServer } from "../../support/luks-change.ts";
import { runCommand } from "../../support/terminal.ts";
import { noSwtpm, type Swtpm, startSwtpm } from "../../support/tpm/swtpm.ts";
import { opens, PASSPHRASE } from "../../support/volumes.ts";

const noClevis = spawnSync("clevis-decrypt-tpm2", ["--summary"]).error === undefined ? false : "clevis-tpm2 lacks";

describe("bind tpm2", { skip: noSwtpm || noClevis }, () => {
  let chip: Swtpm;
  before(async () => {
    chip = await startSwtpm();
    process.env["TPM2TOOLS_TCTI"] = chip.tcti;
  });
  after(() => chip[Symbol.asyncDispose]());

  const slotsOf = async (image: string, state: string) =>
    (await look({ image, stateFolder: state, server: new TestServer() })).slots;

  for (const type of ["luks2", "luks1"] as const) {
    test(`${type}: bound by us it opens by our command and by clevis; another state wants a rebind`, async () => {
      const { image, state } = makeImage(type);
      const words = [image, "tpm2", "pcr=11,7", ...keyArgs(state)];
      const bound = await runCommand(bind, words, nodeSystem);
      assert.deepEqual(bound.lines.slice(0, 1), [
        `Bound ${image}: the machine's TPM, sha256:7,11, keyslot 1. The machine's TPM was asked, and the keyslot opened.`,
      ]);
      const binding = {
        keyslots: [1],
        kind: "tpm2",
        urls: [],
        target: "sha256:7,11",
        registers: [{ bank: "sha256", numbers: [7, 11] }],
      };
      const { token: _, ...told } = bound.result["binding"] as Record<string, unknown>;
      assert.deepEqual(told, binding);
      assert.match(
        bound.hints.join("\n"),
        /^Register 7 holds whether Secure Boot is on, and its keys\. It changes with the Secure Boot keys\.$/m,
      );
      assert.match(
        bound.hints.join("\n"),
        /^Register 11 .* or the running system\. Earlier in a boot it is another one\.$/m,
      );
      const passphrase = chip.run(["clevis", "luks", "pass", "-d", image, "-s", "1"]);
      assert.ok(opens(image, passphrase, 1));
      const tested = await runCommand(unlock, [image, "--test"], nodeSystem);
      assert.deepEqual(tested.lines, ["opens  tpm2 sha256:7,11, keyslot 1"]);
      assert.equal((await runCommand(bind, words, nodeSystem)).result["outcome"], "bound-already");

      // The firmware was updated, say.
      chip.extend(7);
      const closed = await runCommand(unlock, [image, "--test"], nodeSystem);
      assert.equal(closed.status, 1);
      assert.match(closed.lines.join("\n"), /\[tpm2\/wrong-state\]/);
      const digest = await headerDigest(image);
      await assert.rejects(runCommand(bind, words, nodeSystem), (error) => {
        assert.ok(isError(error, "tpm2/wrong-state"));
        assert.match(error.remedy ?? "", /the same with --replace --slot 1\.$/);
        return true;
      });
      await assert.rejects(runCommand(bind, [...words, "--replace"], nodeSystem), (error) => {
        assert.ok(isError(error, "luks/not-proved"));
        assert.match(error.remedy ?? "", /pass --slot 1 to remove it all the same\.$/);
        return true;
      });
      assert.equal(await headerDigest(image), digest);
      const replaced = await runCommand(bind, [...words, "--replace", "--slot", "1"], nodeSystem);
      assert.equal(replaced.result["outcome"], "bound");
      assert.deepEqual(await slotsOf(image, state), [0, 2]);
      assert.ok(!opens(image, passphrase) && opens(image, PASSPHRASE));
      assert.ok(opens(image, chip.run(["clevis", "luks", "pass", "-d", image, "-s", "2"]), 2));

      await runCommand(unbind, [image, ...keyArgs(state)], nodeSystem);
      assert.deepEqual(await slotsOf(image, state), [0]);
    });
  }

  test("a rotation seals to the same registers, or to none as before", async () => {
    for (const pcr of [["pcr=16"], []]) {
      const { image, state } = makeImage("luks2");
      await runCommand(bind, [image, "tpm2", ...pcr, ...keyArgs(state)], nodeSystem);
      const before = chip.run(["clevis", "luks", "pass", "-d", image, "-s", "1"]);
      const { result } = await runCommand(rotate, [image, ...keyArgs(state)], nodeSystem);
      assert.equal(result["ok"], true, JSON.stringify(result));
      assert.deepEqual(await slotsOf(image, state), [0, 2]);
      assert.ok(!opens(image, before));
      assert.ok(opens(image, chip.run(["clevis", "luks", "pass", "-d", image, "-s", "2"]), 2));
    }
  });

  test("bound by clevis it opens by us, is told with its registers, and unbound", async () => {
    const { image, state } = makeImage("luks2");
    const configuration = JSON.stringify({ pcr_bank: "sha256", pcr_ids: "0,23" });
    chip.run(["clevis", "luks", "bind", "-y", "-k", "-", "-d", image, "tpm2", configuration], PASSPHRASE);
    const tested = await runCommand(unlock, [image, "--test"], nodeSystem);
    assert.deepEqual(tested.lines, ["opens  tpm2 sha256:0,23, keyslot 1"]);
    await runCommand(unbind, [image, ...keyArgs(state)], nodeSystem);
    assert.deepEqual(await slotsOf(image, state), [0]);
  });

  test("bindings to other registers stand beside each other, and --replace takes one of all", async () => {
    const { image, state } = makeImage("luks2");
    for (const words of [["pcr=7"], ["pcr=7", "bank=sha384"], ["key=rsa"]]) {
      await runCommand(bind, [image, "tpm2", ...words, ...keyArgs(state)], nodeSystem);
    }
    assert.deepEqual((await runCommand(unlock, [image, "--test"], nodeSystem)).lines, [
      "opens  tpm2 sha256:7, keyslot 1",
      "opens  tpm2 sha384:7, keyslot 2",
      "opens  tpm2 without registers, keyslot 3",
    ]);
    const all = await runCommand(bind, [image, "tpm2", "pcr=none", "--replace", ...keyArgs(state)], nodeSystem);
    assert.equal((all.result["replaced"] as unknown[]).length, 3);
    assert.deepEqual(await slotsOf(image, state), [0, 4]);
  });

  test("what cannot be bound is refused before a passphrase is asked for, and changes nothing", async () => {
    const { image } = makeImage("luks2");
    const digest = await headerDigest(image);
    for (const [words, told] of [
      [["pin", "pin"], "bind: pin stands twice"],
      [["pcr=24"], "bind: pcr=24 is no list of registers 0 to 23, such as pcr=7,11"],
      [["pcr=7;11"], "bind: pcr=7;11 is no list of registers 0 to 23, such as pcr=7,11"],
      [
        ["pcr=0,1,2,3,4,5,6,7,8"],
        "bind: clevis, which opens the binding in an initramfs, takes no more than 8 registers",
      ],
      [["pcr=7", "pcr=8"], "bind: pcr= stands twice"],
      [["bank=sha256"], "bind: bank= goes with pcr=, whose registers it is of"],
      [["pcr=7", "bank=md5"], "bind: there is no such bank of registers"],
      [["key=ed25519"], "bind: key=ed25519 is neither key=ecc nor key=rsa"],
      [["7,11"], 'bind: word 3, "7,11", is neither a pin nor a word of tpm2'],
      [["--replace"], "bind: with --replace say which registers the new binding is sealed to"],
    ] as const) {
      await assert.rejects(runCommand(bind, [image, "tpm2", ...words], nodeSystem), {
        code: "usage/wrong",
        message: told,
      });
    }
    process.env["TPM2TOOLS_TCTI"] = "swtpm:path=/nowhere";
    try {
      await assert.rejects(runCommand(bind, [image, "tpm2"], nodeSystem), { code: "tpm2/no-chip" });
    } finally {
      process.env["TPM2TOOLS_TCTI"] = chip.tcti;
    }
    assert.equal(await headerDigest(image), digest);
  });
});
