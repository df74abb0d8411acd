/** Recovery keys of volumes that nobody knows a passphrase of: a binding is the authority. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as add } from "../../../src/cli/commands/recovery/add.ts";
import { command as remove } from "../../../src/cli/commands/recovery/remove.ts";
import { command as status } from "../../../src/cli/commands/status.ts";
import { isError } from "../../../src/core/errors.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { inviteAt, keyArgs, makeImage, served } from "../../support/bind-bench.ts";
import { headerDigest } from "../../support/luks-change.ts";
import { keyOn } from "../../support/recovery-bench.ts";
import { runCommand } from "../../support/terminal.ts";
import { addSlot, opens, PASSPHRASE, runTool } from "../../support/volumes.ts";

const server = served();

/** A volume that only its binding opens, or its passphrase too. */
async function bound(keepsPassphrase: boolean): Promise<{ readonly image: string; readonly state: string }> {
  const { image, state } = makeImage("luks2");
  await runCommand(bind, [image, "latch", await inviteAt(server()), ...keyArgs(state)], nodeSystem);
  if (!keepsPassphrase) runTool(["cryptsetup", "luksKillSlot", "-q", image, "0"]);
  return { image, state };
}

async function warningsOf(image: string, state: string): Promise<{ rows: readonly string[]; noPassphrase: unknown }> {
  const shown = await runCommand(status, [image, "--crypttab", "/nonexistent", "--state", state], nodeSystem);
  const rows = shown.lines.filter((line) => line.startsWith("  warning"));
  return { rows, noPassphrase: (shown.result["volumes"] as { noPassphrase: unknown }[])[0]?.noPassphrase };
}

test("status warns of a volume that only its bindings open; the command that it names mends that", async () => {
  const { image, state } = await bound(false);
  const { rows, noPassphrase } = await warningsOf(image, state);
  const lost = "without its servers, or the chip that holds its key, nothing opens it any more";
  assert.deepEqual(rows, [`  warning    every keyslot belongs to a token: ${lost}. nightlatch recovery add ${image}`]);
  assert.equal(noPassphrase, true);
  const shown: Buffer[] = [];
  const sees = (screen: Buffer) => void shown.push(screen);
  await runCommand(add, [image, "--no-confirm", "--state", state], nodeSystem, { sees });
  assert.ok(opens(image, keyOn(shown[0] ?? Buffer.alloc(0))));
  assert.deepEqual(await warningsOf(image, state), { rows: [], noPassphrase: false });

  // Taking it away again is said and asked, since nothing else could be typed.
  const before = await headerDigest(image);
  const args = [image, "--state", state];
  await assert.rejects(runCommand(remove, args, nodeSystem), (error) => isError(error, "usage/no-terminal"));
  const hears = { lines: [], hints: [] as string[] };
  await assert.rejects(runCommand(remove, args, nodeSystem, { agrees: false, hears }), (error) => {
    return isError(error, "usage/cancelled");
  });
  assert.equal(hears.hints[0], `After that nothing but its bindings opens ${image}: no passphrase is left.`);
  assert.equal(await headerDigest(image), before);
  const { result } = await runCommand(remove, [...args, "--yes"], nodeSystem);
  assert.deepEqual(result["removed"], [{ token: 2, keyslots: [0] }]);
});

test("the key that the machine remembers is none that a person types", async () => {
  const { image, state } = await bound(true);
  const key = randomBytes(32).toString("hex");
  addSlot(image, key);
  assert.deepEqual(await warningsOf(image, state), { rows: [], noPassphrase: false });
  runTool(["cryptsetup", "luksKillSlot", "-q", image, "0"]);
  // Whose it is nobody can tell; then the machine has it.
  assert.equal((await warningsOf(image, state)).noPassphrase, false);
  writeFileSync(join(state, "remembered.key"), key, { mode: 0o400 });
  const { rows, noPassphrase } = await warningsOf(image, state);
  assert.equal(noPassphrase, true);
  assert.match(rows[0] ?? "", /every keyslot belongs to a token, or to the key that this machine remembers: /);
});

test("--by-binding adds a key where the passphrase is forgotten, and refuses where no binding opens", async () => {
  const { image, state } = await bound(true);
  const printed: Buffer[] = [];
  const takes = (bytes: Buffer) => void printed.push(bytes);
  await runCommand(add, [image, "--by-binding", "--print", "--state", state], nodeSystem, { takes });
  assert.ok(opens(image, Buffer.concat(printed).toString().trim()) && opens(image, PASSPHRASE));

  const { image: plain, state: other } = makeImage("luks2");
  const args = [plain, "--by-binding", "--print", "--state", other];
  await assert.rejects(runCommand(add, args, nodeSystem, { takes: () => assert.fail("a key was given") }), (error) => {
    return isError(error, "luks/not-bound") && error.message === `${plain} has no binding`;
  });
});
