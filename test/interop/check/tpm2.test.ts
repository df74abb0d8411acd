/** What `check` says of the registers of a TPM before a reboot, and its remedies, applied. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { describeToken, listBindings } from "../../../src/bindings/binding.ts";
import { measuredFacts } from "../../../src/check/collect/measured.ts";
import type { BindingFacts, VolumeFacts } from "../../../src/check/judge/facts.ts";
import { judgeMeasured, whyUnsteady } from "../../../src/check/judge/measured.ts";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as unlock } from "../../../src/cli/commands/unlock.ts";
import { parseCompactJwe } from "../../../src/formats/jose/jwe.ts";
import { readVolumeHeader } from "../../../src/luks/header/header.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { keyArgs, makeImage } from "../../support/bind-bench.ts";
import { clevisToken } from "../../support/clevis-token.ts";
import { BINDING, EARLY, volume } from "../../support/machine-facts.ts";
import { runCommand } from "../../support/terminal.ts";
import { noSwtpm, startSwtpm } from "../../support/tpm/swtpm.ts";

const noClevis = spawnSync("clevis-decrypt-tpm2", ["--summary"]).error === undefined ? false : "clevis-tpm2 lacks";

/** A kernel that waits for the next boot. */
const NEXT = { entry: { release: "99.0-new", initrds: [] } } as unknown as Parameters<typeof measuredFacts>[1];

describe("check and the TPM", { skip: noSwtpm || noClevis, concurrency: 1 }, () => {
  test("the registers of a binding are judged", async () => {
    await using chip = await startSwtpm();
    process.env["TPM2TOOLS_TCTI"] = chip.tcti;
    const { image, state } = makeImage("luks2");
    const facts = async (next: typeof NEXT): Promise<BindingFacts> => {
      const [binding] = listBindings(await readVolumeHeader(nodeSystem, image));
      assert.ok(binding !== undefined);
      const measured = await measuredFacts(nodeSystem, next, binding.measured);
      const { kind, token } = binding;
      return { ...BINDING, text: kind, kind, urls: [], asksNetwork: false, keyslots: token.keyslots, measured };
    };
    const judged = (binding: BindingFacts, early: VolumeFacts["early"] = null) =>
      judgeMeasured(volume(undefined, { device: image, bindings: [binding], early }), binding);
    /** Runs the command of a remedy: its last line. */
    const apply = async (remedy: string | undefined) => {
      const words = remedy?.split("\n").at(-1)?.split(" ") ?? [];
      assert.deepEqual(words.slice(0, 2), ["nightlatch", "bind"]);
      await runCommand(bind, [...words.slice(2), ...keyArgs(state)], nodeSystem);
      assert.equal((await runCommand(unlock, [image, "--test"], nodeSystem)).status, 0);
    };

    // As GRUB and systemd measure a boot: the kernel, and how far the boot has come.
    for (const register of [7, 9, 11]) chip.extend(register);
    await runCommand(bind, [image, "tpm2", "pcr=7,9,11,12", ...keyArgs(state)], nodeSystem);
    const steady = await facts(null);
    const sealed = { bank: "sha256", numbers: [7, 9, 11, 12], isNeeded: true, isNow: true, moving: [11], pending: [] };
    assert.deepEqual(steady.measured, [{ ...sealed, unsteady: [9, 11] }]);
    assert.match(whyUnsteady(steady) ?? "", /: register 9 holds the kernel .*; register 11 holds/);
    assert.deepEqual(judged(steady), []);

    // An initramfs that was made since this machine started, for the kernel that runs.
    const old = { path: "/bin/sh", section: null };
    const remade = { entry: { release: null, kernel: old, initrds: [old, { path: image, section: null }] } };
    const pending = async (entry: object) => (await facts({ entry } as typeof NEXT)).measured[0]?.pending;
    assert.deepEqual(await pending(remade.entry), [9]);
    assert.deepEqual(await pending({ ...remade.entry, initrds: [old] }), []);
    assert.deepEqual(await pending({ ...remade.entry, kernel: remade.entry.initrds[1] }), [9, 11]);

    // A kernel waits; register 12, of zeros, has nothing of it.
    const [update, ...more] = judged(await facts(NEXT));
    assert.deepEqual(more, []);
    assert.equal(update?.code, "check/tpm-update");
    assert.equal(update.severity, "error");
    assert.match(update.text, /register 9 holds the kernel and initramfs .*; register 11 holds/);
    // That boot, with a passphrase typed.
    await chip.restart();
    for (const register of [7, 9, 9, 11]) chip.extend(register);
    assert.equal((await facts(null)).measured[0]?.isNow, false);
    await apply(update.remedy);
    assert.deepEqual((await facts(null)).measured[0]?.isNow, true);

    // An initramfs is to open it, where register 11 is another one.
    const [moving] = judged(await facts(null), EARLY);
    assert.equal(moving?.code, "check/tpm-moving");
    assert.match(moving.text, /register 11 holds a unified kernel image, and how far the boot has come$/);
    await apply(moving.remedy);
    assert.deepEqual((await facts(null)).measured[0]?.numbers, [7, 9, 12]);
    assert.deepEqual(judged(await facts(null), EARLY), []);

    // A share of a whole that opens by its other share.
    const pins = { tpm2: [{ pcr_bank: "sha256", pcr_ids: "23" }, {}] };
    const shared = async () => {
      const jwe = chip.run(["clevis", "encrypt", "sss", JSON.stringify({ t: 1, pins })], "secret").toString("latin1");
      const json = clevisToken(parseCompactJwe(jwe), 1);
      const { measured, kind } = describeToken({ id: 0, type: "clevis", keyslots: [1], digest: "", json });
      return {
        judge: async () => judged({ ...BINDING, kind, measured: await measuredFacts(nodeSystem, null, measured) }),
      };
    };
    const before = await shared();
    assert.deepEqual(await before.judge(), []);
    chip.extend(23);
    const [stale] = await before.judge();
    assert.equal(stale?.code, "check/tpm-state");
    assert.equal(stale.severity, "warning");
    assert.match(stale.remedy, /bind the volume anew with all its shares$/);
    assert.deepEqual(await (await shared()).judge(), []);
  });
});
