/** Volumes bound to the machine's TPM and to a PIN that a person types. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { bindingSources } from "../../../src/agent/binding-source.ts";
import { listBindings } from "../../../src/bindings/binding.ts";
import { proveEveryShare, readClevis } from "../../../src/bindings/recovery.ts";
import { volumeStatus } from "../../../src/bindings/volume-status.ts";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as rotate } from "../../../src/cli/commands/rotate/rotate.ts";
import { command as unbind } from "../../../src/cli/commands/unbind/unbind.ts";
import { command as unlock } from "../../../src/cli/commands/unlock.ts";
import { isError } from "../../../src/core/errors.ts";
import { Secret } from "../../../src/core/secret.ts";
import { encryptJwe, formatCompactJwe, parseJweHeader } from "../../../src/formats/jose/jwe.ts";
import type { JsonObject } from "../../../src/formats/json/json.ts";
import { readVolumeHeader } from "../../../src/luks/header/header.ts";
import type { Seal } from "../../../src/pins/pin.ts";
import type { ShareOutcome } from "../../../src/pins/recover.ts";
import { sealToShares } from "../../../src/pins/sss/seal.ts";
import { sealToChip } from "../../../src/pins/tpm2/seal.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { keyArgs, makeImage } from "../../support/bind-bench.ts";
import { clevisToken } from "../../support/clevis-token.ts";
import { headerDigest, look, TestServer } from "../../support/luks-change.ts";
import { type Person, runCommand } from "../../support/terminal.ts";
import { noSwtpm, type Swtpm, startSwtpm } from "../../support/tpm/swtpm.ts";
import { opens, PASSPHRASE } from "../../support/volumes.ts";

const noClevis = spawnSync("clevis-decrypt-tpm2", ["--summary"]).error === undefined ? false : "clevis-tpm2 lacks";

/** Types these PINs, one after the other, and no more. */
const typing = (...passphrase: string[]): Person => ({ passphrase });

describe("bind tpm2 pin", { skip: noSwtpm || noClevis, concurrency: 1 }, () => {
  let chip: Swtpm;
  before(async () => {
    chip = await startSwtpm();
    process.env["TPM2TOOLS_TCTI"] = chip.tcti;
  });
  after(() => chip[Symbol.asyncDispose]());

  /** Wrong attempts that the chip holds against whoever tries. */
  const counted = (): number => {
    const told = chip.run(["tpm2_getcap", "properties-variable"]).toString();
    return Number(/TPM2_PT_LOCKOUT_COUNTER: (\S+)/.exec(told)?.[1] ?? Number.NaN);
  };
  const slotsOf = async (image: string, state: string) =>
    (await look({ image, stateFolder: state, server: new TestServer() })).slots;
  const bindingOf = async (image: string, at = 0) => {
    const binding = listBindings(await readVolumeHeader(nodeSystem, image))[at];
    assert.ok(binding !== undefined);
    return binding;
  };

  test("bound, tried, rotated, given another PIN and unbound, by one PIN a command and no lost attempt", async () => {
    const { image, state } = makeImage("luks2");
    const words = [image, "tpm2", "pcr=7", "pin", ...keyArgs(state)];
    const digest = await headerDigest(image);
    for (const [pins, told] of [
      [["123"], /a PIN has from 4 to 256 bytes/],
      [["2580", "2581"], /the two PINs differ/],
    ] as const) {
      await assert.rejects(runCommand(bind, words, nodeSystem, typing(...pins)), {
        code: "usage/wrong",
        message: told,
      });
    }
    assert.equal(await headerDigest(image), digest);
    const person = typing("2580", "2580");
    const bound = await runCommand(bind, words, nodeSystem, person);
    assert.deepEqual(person.passphrase, []);
    assert.match(bound.lines[0] ?? "", /: the machine's TPM, with a PIN, sha256:7, keyslot 1\. .* keyslot opened\.$/);
    assert.match(bound.hints.join("\n"), /^The TPM locks after 3 wrong PINs, .* takes one off its count after 1000 s/m);
    const told = bound.result["binding"] as Record<string, unknown>;
    assert.deepEqual([told["kind"], told["target"], told["needsPerson"]], ["tpm2", "with a PIN, sha256:7", true]);

    const tried = await runCommand(unlock, [image, "--test"], nodeSystem, typing("2580"));
    assert.deepEqual(tried.lines, ["opens  tpm2 with a PIN, sha256:7, keyslot 1"]);
    const again = await runCommand(bind, words, nodeSystem, typing("2580"));
    assert.equal(again.result["outcome"], "bound-already");

    const rotated = await runCommand(rotate, [image, ...keyArgs(state)], nodeSystem, typing("2580"));
    assert.equal(rotated.result["ok"], true, JSON.stringify(rotated.result));
    assert.deepEqual(await slotsOf(image, state), [0, 2]);
    await runCommand(bind, [...words, "--replace"], nodeSystem, typing("2580", "1357", "1357"));
    assert.deepEqual(await slotsOf(image, state), [0, 1]);
    assert.equal((await runCommand(unlock, [image, "--test"], nodeSystem, typing("1357"))).status, 0);
    assert.equal(counted(), 0);

    // Without the word a binding to the chip stands beside it: no PIN goes unasked.
    await runCommand(bind, [image, "tpm2", "pcr=none", "--replace", ...keyArgs(state)], nodeSystem);
    assert.deepEqual(await slotsOf(image, state), [0, 1, 2]);
    await runCommand(unbind, [image, "tpm2", "--all", ...keyArgs(state)], nodeSystem, typing("1357"));
    assert.deepEqual(await slotsOf(image, state), [0]);
    assert.equal(counted(), 0);
  });

  test("stock clevis goes on to the next binding, and costs no attempt; nor does one who edits the header", async () => {
    const { image, state } = makeImage("luks2");
    await runCommand(bind, [image, "tpm2", "pcr=7", "pin", ...keyArgs(state)], nodeSystem, typing("2580", "2580"));
    await runCommand(bind, [image, "tpm2", "pcr=7", ...keyArgs(state)], nodeSystem);
    assert.deepEqual(await slotsOf(image, state), [0, 1, 2]);
    // What the initramfs and clevis luks unlock run: every binding, one after the other.
    const all = chip.run(["bash", "-c", `. clevis-luks-common-functions; clevis_luks_unlock_device ${image}`]);
    chip.flush();
    assert.ok(opens(image, all, 2));
    assert.throws(() => chip.run(["clevis", "luks", "pass", "-d", image, "-s", "1"]));
    assert.equal(counted(), 0);

    const header = parseJweHeader(readClevis((await bindingOf(image)).token)) as unknown as {
      clevis: Record<string, JsonObject>;
    };
    const sealed = header.clevis["tpm2-pin"];
    assert.ok(sealed !== undefined);
    const edited = { alg: "dir", clevis: { pin: "tpm2", tpm2: sealed }, enc: "A256GCM" };
    const jwe = encryptJwe(edited, Buffer.alloc(32), Buffer.alloc(12), Buffer.from("x"));
    assert.throws(() => chip.run(["clevis", "decrypt"], formatCompactJwe(jwe)));
    assert.equal(counted(), 0);
  });

  test("nobody's attempt is made where nobody is there: agent, status, a proof of the header", async () => {
    const { image, state } = makeImage("luks2");
    await runCommand(bind, [image, "tpm2", "pcr=none", "pin", ...keyArgs(state)], nodeSystem, typing("2580", "2580"));
    const untouched = { ...nodeSystem, openTpm: () => assert.fail("the chip is asked") };
    const header = await readVolumeHeader(nodeSystem, image);
    const [source] = bindingSources(untouched, header, () => {});
    const limits = { timeoutMs: 10_000, signal: new AbortController().signal };
    await assert.rejects(
      async () => source?.attempt(limits),
      (error) => {
        assert.ok(isError(error, "pin/needs-person"));
        return source?.isWorthRetrying(error) === false;
      },
    );
    assert.match(source?.name ?? "", /^token \d+ \(tpm2 with a PIN, without registers\)$/);
    const status = await volumeStatus(untouched, image, { stateFolder: state, tries: true, signal: limits.signal });
    const [told] = status.bindings;
    assert.deepEqual([told?.opens, told?.error?.code], [null, "pin/needs-person"]);
    assert.equal(counted(), 0);
  });

  test("a share that wants a PIN is told as not proved where nobody is there, and does not undo a binding", async () => {
    using value = Secret.copy(Buffer.from("2580"));
    const limits = { timeoutMs: 60_000 };
    const to = { kind: "ecc", registers: null } as const;
    const seals: readonly Seal[] = [
      (share) => sealToChip(nodeSystem, to, share, limits),
      (share) => sealToChip(nodeSystem, { ...to, pin: { value, salt: Buffer.alloc(16) } }, share, limits),
    ];
    const prove = async (threshold: number) => {
      const jwe = await sealToShares(nodeSystem, threshold, seals, Buffer.from(PASSPHRASE));
      const token = { id: 0, type: "clevis", keyslots: [1], digest: "", json: clevisToken(jwe, 1) };
      const unproved: ShareOutcome[] = [];
      using secret = await proveEveryShare(nodeSystem, new AbortController().signal, unproved)(token);
      return [secret.reveal().toString(), ...unproved.map(({ error }) => error?.code)];
    };
    assert.deepEqual(await prove(1), [PASSPHRASE, "pin/needs-person"]);
    await assert.rejects(prove(2), { code: "pin/needs-person" });
  });

  test("a wrong PIN, too few tries, a locked chip: each is told before an attempt is lost, and each remedy helps", async () => {
    const { image, state } = makeImage("luks2");
    const words = [image, "tpm2", "pcr=7", "pin", ...keyArgs(state)];
    await runCommand(bind, words, nodeSystem, typing("2580", "2580"));
    const tryOut = async (...pins: string[]) => {
      const { result, lines } = await runCommand(unlock, [image, "--test"], nodeSystem, typing(...pins));
      const [binding] = result["bindings"] as [{ error?: { code: string; remedy: string } }];
      return { code: binding.error?.code ?? "opens", remedy: binding.error?.remedy ?? "", text: lines.join("\n") };
    };
    const wrong = await tryOut("0000");
    assert.equal(wrong.code, "tpm2/wrong-pin");
    assert.match(wrong.text, /counts 1 of 3 wrong attempts, and takes one off after 1000 s/);
    assert.equal(counted(), 1);
    // What was wrong once costs no second attempt in one run, and does not cost the binding either.
    const digest = await headerDigest(image);
    await assert.rejects(runCommand(bind, words, nodeSystem, typing("0001")), (error) => {
      assert.ok(isError(error, "tpm2/wrong-pin"));
      assert.match(error.meaning ?? "", /binding may well be in order/);
      return true;
    });
    assert.equal(await headerDigest(image), digest);
    assert.equal(counted(), 2);
    const few = await tryOut(); // nobody is asked
    assert.equal(few.code, "tpm2/few-tries");
    assert.equal(counted(), 2);
    const [, command = ""] = /at once: (.*)\.$/.exec(few.remedy) ?? [];
    assert.equal(command, "tpm2_dictionarylockout --clear-lockout");
    chip.run(["tpm2_dictionarylockout", "--clear-lockout"]);
    assert.equal((await tryOut("2580")).code, "opens");

    // Another program, with another limit, locks the chip.
    const limit = (...more: string[]) => chip.run(["tpm2_dictionarylockout", "--setup-parameters", ...more]);
    assert.equal((await tryOut("0002")).code, "tpm2/wrong-pin");
    limit("--max-tries=1", "--recovery-time=1000");
    const locked = await tryOut();
    assert.equal(locked.code, "tpm2/lockout");
    assert.match(locked.text, /the machine's TPM is locked: it counts 1 of 1 wrong attempts/);
    // The remedy is to wait: by its own clock the chip takes one off its count.
    limit("--max-tries=3", "--recovery-time=1");
    while (counted() > 0) await sleep(100);
    assert.equal((await tryOut("2580")).code, "opens");

    // The PIN is forgotten, and the machine is another since: the printed command helps.
    chip.extend(7);
    const moved = await tryOut();
    assert.equal(moved.code, "tpm2/wrong-state");
    assert.match(moved.remedy, /nightlatch bind DEV tpm2 pcr=LIST pin --replace --slot N/);
    await runCommand(bind, [...words, "--replace", "--slot", "1"], nodeSystem, typing("4444", "4444"));
    assert.equal((await tryOut("4444")).code, "opens");
    assert.ok(opens(image, PASSPHRASE));
  });
});
