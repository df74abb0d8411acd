import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as status } from "../../../src/cli/commands/status.ts";
import { command as unbind } from "../../../src/cli/commands/unbind/unbind.ts";
import { isError } from "../../../src/core/errors.ts";
import { formatIntent } from "../../../src/formats/own/intent.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { headerDigest, look, makeState, TestServer } from "../../support/luks-change.ts";
import { type Served, serve } from "../../support/serve.ts";
import { runCommand } from "../../support/terminal.ts";
import { addSlot, addToken, forge, makeFolder, makeVolume, opens, PASSPHRASE } from "../../support/volumes.ts";

const folder = makeFolder();
const keyFile = join(folder, "passphrase");
writeFileSync(keyFile, PASSPHRASE);
const RECOVERY = "recovery";

let server: Served;
before(async () => {
  server = await serve();
});
after(() => server[Symbol.asyncDispose]());

let made = 0;
interface Bound {
  readonly image: string;
  readonly state: string;
  readonly machine: string;
}

/** Bound to a latch in slot 1; "recovery" is in slot 5. */
async function makeBound(type: "luks1" | "luks2", iterations: number): Promise<Bound> {
  const small = type === "luks2" ? ["--luks2-keyslots-size", "2m"] : [];
  const image = makeVolume(folder, `v${made++}.img`, type, small, 4);
  addSlot(image, RECOVERY, ["--key-slot", "5", "--pbkdf-force-iterations", String(iterations)]);
  const machine = `machine-${made++}`;
  const state = makeState(folder);
  await runCommand(bind, [image, "latch", await invite(machine), ...keyArgs(state)], nodeSystem);
  return { image, state, machine };
}

const invite = async (machine: string) => String((await server.json("machine", "invite", machine))["invite"]);
const keyArgs = (state: string) => ["--key-file", keyFile, "--state", state];
const see = ({ image, state }: Bound) => look({ image, stateFolder: state, server: new TestServer() });
const pointAt = (image: string, slot: number) =>
  forge(image, (text) => text.replace('"keyslots":["1"]', `"keyslots":["${slot}"]`));

/** Nothing is changed, and the recovery passphrase opens its slot. */
async function refuses(
  { image }: Bound,
  run: () => Promise<unknown>,
  wanted: { readonly message: RegExp; readonly meaning: RegExp; readonly remedy: string },
): Promise<void> {
  const before = await headerDigest(image);
  await assert.rejects(run(), (error) => {
    assert.ok(isError(error, "luks/not-proved"), String(error));
    assert.match(error.message, wanted.message);
    assert.match(error.meaning ?? "", wanted.meaning);
    assert.equal(error.remedy, wanted.remedy);
    return true;
  });
  assert.equal(await headerDigest(image), before);
  assert.ok(opens(image, RECOVERY, 5));
}

test("a token that was pointed at the owner's slot does not take it along", async () => {
  const bound = await makeBound("luks2", 5000);
  const { image, state } = bound;
  pointAt(image, 5);
  const wanted = {
    message: /: keyslot 5 is not proved to belong to token 1: what the server released does not open keyslot 5$/,
    meaning: /^It does not look like a binding's either, .* Nothing was changed\.$/,
    remedy: `Remove the token alone, and keyslot 5 stays: cryptsetup token remove --token-id 1 ${image}`,
  };
  await refuses(bound, () => runCommand(unbind, [image, ...keyArgs(state)], nodeSystem), wanted);
  await refuses(bound, () => runCommand(unbind, [image, "--slot", "5", ...keyArgs(state)], nodeSystem), wanted);
  const replace = [image, "latch", "--replace", ...keyArgs(state)];
  await refuses(bound, () => runCommand(bind, replace, nodeSystem), wanted);
  await refuses(bound, () => runCommand(bind, [...replace, "--slot", "5"], nodeSystem), wanted);
});

test("nor does it where the slot has a binding's iteration count", async () => {
  const bound = await makeBound("luks2", 1500);
  const { image, state } = bound;
  pointAt(image, 5);
  const wanted = {
    message: /: what the server released does not open keyslot 5$/,
    meaning:
      /^A header can be edited by whoever had the disk, so its token alone is not believed\. Nothing was changed\.$/,
    remedy:
      `If no passphrase of yours opens keyslot 5 (cryptsetup open --test-passphrase --key-slot 5 ${image}), ` +
      "pass --slot 5 to remove it all the same.",
  };
  await refuses(bound, () => runCommand(unbind, [image, ...keyArgs(state)], nodeSystem), wanted);
  await refuses(bound, () => runCommand(unbind, [image, "--all", ...keyArgs(state)], nodeSystem), wanted);
  await refuses(bound, () => runCommand(bind, [image, "latch", "--replace", ...keyArgs(state)], nodeSystem), wanted);
});

for (const type of ["luks2", "luks1"] as const) {
  test(`${type}: after a revocation, unbind --slot and bind anew`, async () => {
    const bound = await makeBound(type, 5000);
    const { image, state, machine } = bound;
    await server.json("machine", "revoke", machine);
    await refuses(bound, () => runCommand(unbind, [image, ...keyArgs(state)], nodeSystem), {
      message: /: keyslot 1 is not proved to belong to token \d: .* (?:revoked|refuses).*$/,
      meaning: /Nothing was changed\.$/,
      remedy:
        `If no passphrase of yours opens keyslot 1 (cryptsetup open --test-passphrase --key-slot 1 ${image}), ` +
        "pass --slot 1 to remove it all the same.",
    });
    const removed = await runCommand(unbind, [image, "--slot", "1", ...keyArgs(state)], nodeSystem);
    assert.equal((removed.result["removed"] as unknown[]).length, 1);
    assert.deepEqual(await see(bound), { slots: [0, 5], tokens: [], files: [] });
    const again = [image, "latch", await invite(`${machine}-again`), ...keyArgs(makeState(folder))];
    assert.equal((await runCommand(bind, again, nodeSystem)).result["outcome"], "bound");
    assert.deepEqual((await see(bound)).slots, [0, 1, 5]);
  });

  test(`${type}: after a revocation, bind --replace --slot`, async () => {
    const bound = await makeBound(type, 5000);
    const { image, machine } = bound;
    await server.json("machine", "revoke", machine);
    const line = await invite(`${machine}-again`);
    const args = [image, "latch", line, "--replace", ...keyArgs(makeState(folder))];
    await refuses(bound, () => runCommand(bind, args, nodeSystem), {
      message: /: keyslot 1 is not proved to belong to token \d: /,
      meaning: /Nothing was changed\.$/,
      remedy:
        `If no passphrase of yours opens keyslot 1 (cryptsetup open --test-passphrase --key-slot 1 ${image}), ` +
        "pass --slot 1 to remove it all the same.",
    });
    // The invite was not spent on what was refused.
    const done = await runCommand(bind, [...args, "--slot", "1"], nodeSystem);
    assert.equal((done.result["replaced"] as unknown[]).length, 1);
    assert.deepEqual((await see(bound)).slots, [0, 2, 5]);
    assert.ok(opens(image, RECOVERY, 5) && opens(image, PASSPHRASE));
  });
}

test("--slot of bind goes with --replace, and takes a number", async () => {
  const { image, state } = await makeBound("luks2", 5000);
  await assert.rejects(runCommand(bind, [image, "latch", "--slot", "1", ...keyArgs(state)], nodeSystem), {
    message: "bind: --slot goes with --replace, for the keyslot that is to go",
  });
  await assert.rejects(runCommand(unbind, [image, "--slot", "one", ...keyArgs(state)], nodeSystem), {
    message: '--slot "one" is not a number',
  });
});

test("what a person and a program are told of a note that nobody here made", async () => {
  const bound = await makeBound("luks2", 1500);
  const { image, state } = bound;
  const adds = { keyslot: 5, iterations: 1500, digest: "A".repeat(43) };
  addToken(image, formatIntent({ id: "A".repeat(22), operation: "bind", adds, removes: [] }));
  const shown = await runCommand(
    status,
    [image, "--offline", "--crypttab", "/nonexistent", "--state", state],
    nodeSystem,
  );
  const [volume] = shown.result["volumes"] as { leftovers: string[] }[];
  assert.deepEqual(volume?.leftovers, [
    "a binding that was cut short (adding keyslot 5), which this machine has no record of: no keyslot will be removed for it",
  ]);
  const done = await runCommand(bind, [image, "latch", ...keyArgs(state)], nodeSystem);
  assert.deepEqual(done.hints, [
    `nightlatch: ${image} tells of a binding that was cut short, and this machine's own record does not bear it out.`,
    "  Another machine began it, the disk was copied, or somebody edited its header. No keyslot was touched.",
    "  Keyslot 5 may be left from it. See whether a passphrase of yours opens it:",
    `    cryptsetup open --test-passphrase --key-slot 5 ${image}`,
    "  Only if none does, remove it:",
    `    cryptsetup luksKillSlot ${image} 5`,
  ]);
  assert.deepEqual(done.result["settled"], [{ operation: "bind", outcome: "disowned", orphans: [5] }]);
  assert.ok(opens(image, RECOVERY, 5));
  assert.deepEqual((await see(bound)).tokens, ["clevis 1"]);
});
