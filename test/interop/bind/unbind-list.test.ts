/** What is told before the package goes, and that each command in it takes off what it names. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as unbind } from "../../../src/cli/commands/unbind/unbind.ts";
import { isError, NightlatchError } from "../../../src/core/errors.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import type { System } from "../../../src/system/port.ts";
import { folder, inviteAt, keyArgs, keyFile, makeImage, served } from "../../support/bind-bench.ts";
import { headerDigest, look, TestServer } from "../../support/luks-change.ts";
import { runCommand } from "../../support/terminal.ts";
import { opens, PASSPHRASE, runTool } from "../../support/volumes.ts";

const server = served();

/** A machine whose lsblk sees the first of these as LUKS, and whose crypttab names all of them. */
function machine(images: readonly string[]): System {
  const crypttab = images.map((image, index) => `v${index} ${image} none luks\n`).join("");
  return {
    ...nodeSystem,
    run: async (command) => {
      if (command.argv[0] !== "lsblk") return nodeSystem.run(command);
      const blockdevices = images.slice(0, 1).map((path) => ({ path, fstype: "crypto_LUKS" }));
      const stdout = Buffer.from(JSON.stringify({ blockdevices }));
      return { status: 0, signal: null, stdout, stderr: Buffer.alloc(0) };
    },
    readFileIfPresent: async (path, limit) =>
      path === "/etc/crypttab" ? Buffer.from(crypttab) : nodeSystem.readFileIfPresent(path, limit),
  };
}

const list = (system: System, state: string) => runCommand(unbind, ["--list", "--state", state], system);

for (const type of ["luks1", "luks2"] as const) {
  test(`${type}: bindings and remembered keys are named once, and what is printed takes them off`, async () => {
    const { image, state } = makeImage(type);
    const { image: other } = makeImage(type);
    await runCommand(bind, [image, "latch", await inviteAt(server()), ...keyArgs(state)], nodeSystem);
    const key = join(state, "remembered.key");
    writeFileSync(key, "k".repeat(64));
    chmodSync(key, 0o400);
    const kdf = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    runTool(["cryptsetup", "luksAddKey", "-q", ...kdf, "--key-file", keyFile, image, key]);
    runTool(["cryptsetup", "luksAddKey", "-q", ...kdf, "--key-file", keyFile, other, key]);
    const before = await Promise.all([headerDigest(image), headerDigest(other)]);

    const system = machine([image, other, "/nonexistent"]);
    const { lines, result } = await list(system, state);
    assert.deepEqual(await Promise.all([headerDigest(image), headerDigest(other)]), before);
    const volumes = result["volumes"] as { device: string; bindings: unknown[]; remembered: number }[];
    assert.deepEqual(
      volumes.map(({ device, bindings, remembered }) => [device, bindings.length, remembered]),
      [
        [image, 1, 2],
        [other, 0, 1],
      ],
    );
    assert.equal(lines.length, 9);

    const copy = join(folder, `list-${type}.img`);
    copyFileSync(image, copy);
    for (const line of lines) {
      const [, command] = /Without Nightlatch: (.*)/.exec(line) ?? [];
      if (command === undefined) continue;
      // A person at a terminal gives the passphrase to the first program; nothing else may ask.
      const done = spawnSync("bash", ["-c", command], { input: PASSPHRASE, encoding: "utf8", timeout: 60_000 });
      assert.equal(done.status, 0, `${command}: ${done.stderr}`);
    }
    for (const one of [image, other]) {
      assert.deepEqual(await look({ image: one, stateFolder: state, server: new TestServer() }), {
        slots: [0],
        tokens: [],
        files: [],
      });
      assert.ok(opens(one, PASSPHRASE));
    }

    // The same by our own command.
    copyFileSync(copy, image);
    const again = (await list(system, state)).lines.find((line) => line.includes("nightlatch unbind")) ?? "";
    const [, device = "", token = ""] = /nightlatch unbind (\S+) --token (\d+)/.exec(again) ?? [];
    const removed = await runCommand(unbind, [device, "--token", token, ...keyArgs(state)], nodeSystem);
    assert.equal((removed.result["removed"] as unknown[]).length, 1);
  });
}

test("where nothing stays nothing is said, and what cannot be looked at keeps no other from being told of", async () => {
  const { image, state } = makeImage("luks2");
  const nothing = await list(machine([image]), state);
  assert.deepEqual([nothing.status, nothing.lines, nothing.result], [0, [], { ok: true, volumes: [] }]);
  assert.equal(nothing.hints.length, 1);

  await runCommand(bind, [image, "latch", await inviteAt(server()), ...keyArgs(state)], nodeSystem);
  const key = join(state, "remembered.key");
  writeFileSync(key, "readable by all", { mode: 0o644 });
  const broken = machine(["/nonexistent", image]);
  assert.equal((await list(broken, state)).lines.length, 3);
  const noLsblk: System = {
    ...broken,
    run: async (command) => {
      if (command.argv[0] === "lsblk") throw new NightlatchError("system/missing-program", "lsblk is not there");
      return nodeSystem.run(command);
    },
  };
  assert.equal((await list(noLsblk, state)).lines.length, 3);
});

test("it takes no volume, and unbind needs one", async () => {
  for (const args of [[], ["/dev/null", "--list"]]) {
    await assert.rejects(runCommand(unbind, args, nodeSystem), (error) => isError(error, "usage/wrong"));
  }
});
