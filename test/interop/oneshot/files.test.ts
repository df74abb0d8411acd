/**
 * The files of a one-time entry on /boot: somebody else's beside them, writes cut in the middle,
 * and what GRUB itself makes of them.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { before, test } from "node:test";
import { command as arm } from "../../../src/cli/commands/oneshot/arm.ts";
import { command as disarm } from "../../../src/cli/commands/oneshot/disarm.ts";
import { command as status } from "../../../src/cli/commands/oneshot/status.ts";
import { isError } from "../../../src/core/errors.ts";
import { cleanUp } from "../../../src/reboot/clean-up.ts";
import { LOADERS, OVERLAY, PAD, person, STATE } from "../../support/reboot/oneshot-loaders.ts";
import { grubWorld, type OneshotWorld, put, skip, snapshot } from "../../support/reboot/oneshot-world.ts";
import { makeDevices, slots } from "../../support/reboot/world.ts";
import { runCommand } from "../../support/terminal.ts";

before(async () => {
  if (skip === false) await makeDevices();
});

test("what the administrator writes to custom.cfg while the passphrase is asked for stays", { skip }, async () => {
  const one = grubWorld();
  const headers = await slots();
  const written = "menuentry 'new' { true; }\n";
  const system = {
    ...one.system,
    makeDirectory: async (path: string, mode: number) => {
      if (path === "/boot/nightlatch") put(one, "/boot/grub/custom.cfg", written);
      return one.system.makeDirectory(path, mode);
    },
  };
  await assert.rejects(
    runCommand(arm, [], system, person),
    (error) => isError(error, "oneshot/failed") && /changed in the meantime/.test(error.message),
  );
  assert.equal(readFileSync(one.at("/boot/grub/custom.cfg"), "utf8"), written);
  assert.deepEqual([existsSync(one.at("/boot/nightlatch")), await slots()], [false, headers]);
});

test("what a write leaves that was killed in its middle is found, and the keys in it are overwritten", {
  skip,
}, async () => {
  const cut = "0123456789ab.tmp";
  for (const { make, name } of LOADERS) {
    const one = make();
    const disk = snapshot(one, "/boot");
    const entry = name === "GRUB" ? "/boot/grub/custom.cfg" : "/boot/loader/entries/nightlatch-oneshot.conf";
    for (const path of [`${OVERLAY}.${cut}`, PAD, `${entry}.${cut}`]) put(one, path, "half of it");
    const wiped: string[] = [];
    const system = {
      ...one.system,
      removeFile: async (path: string) => {
        if (existsSync(one.at(path))) wiped.push(`${path} ${readFileSync(one.at(path)).every((byte) => byte === 0)}`);
        await one.system.removeFile(path);
      },
    };
    assert.deepEqual((await cleanUp(system, STATE, false)).failures, []);
    assert.deepEqual(snapshot(one, "/boot"), disk);
    assert.deepEqual(wiped.slice(1), [`${OVERLAY}.${cut} true`, `${PAD} true`], name);
  }
  const foreign = grubWorld({ files: { "/boot/nightlatch/notes": "somebody's" } });
  assert.deepEqual((await cleanUp(foreign.system, STATE, true)).disarmed, []);
  assert.equal(existsSync(foreign.at("/boot/nightlatch/notes")), true);
  assert.deepEqual((await runCommand(status, [], foreign.system)).lines, ["Nothing is armed."]);
});

test("a part of custom.cfg that lost its end keeps neither the choice nor the keys", { skip }, async () => {
  const one = grubWorld();
  const headers = await slots();
  await runCommand(arm, [], one.system, person);
  const path = one.at("/boot/grub/custom.cfg");
  writeFileSync(path, readFileSync(path).subarray(0, -10));
  const { status: ended, result } = await runCommand(disarm, [], one.system);
  assert.equal(ended, 1);
  assert.deepEqual(
    (result["failures"] as { code: string }[]).map(({ code }) => code),
    ["oneshot/malformed"],
  );
  assert.deepEqual([existsSync(one.at("/boot/nightlatch")), await slots()], [false, headers]);
  assert.doesNotMatch(readFileSync(one.at("/boot/grub/grubenv"), "latin1"), /next_entry/);
});

test("what somebody else put in our place is not followed, nor overwritten", { skip }, async () => {
  const one = grubWorld();
  put(one, "/elsewhere/oneshot.cpio", "precious");
  symlinkSync(one.at("/elsewhere"), one.at("/boot/nightlatch"));
  await assert.rejects(runCommand(arm, [], one.system, person), (error) => isError(error, "oneshot/unavailable"));
  assert.equal(existsSync(one.at("/boot/grub/custom.cfg")), false);
  spawnSync("rm", [one.at("/boot/nightlatch")]);
  put(one, "/precious", "precious");
  spawnSync("mkdir", [one.at("/boot/nightlatch")]);
  symlinkSync(one.at("/precious"), one.at(OVERLAY));
  await runCommand(disarm, [], one.system);
  assert.equal(readFileSync(one.at("/precious"), "utf8"), "precious");
  assert.equal(existsSync(one.at(OVERLAY)), false);
});

/** An ext4 on a loop device at /boot of the world, or why there can be none. */
function mountBoot(one: OneshotWorld): string | null {
  const image = `${one.at("/")}/boot.img`;
  const steps = [
    ["truncate", "--size=64M", image],
    ["mkfs.ext4", "-q", image],
    ["cp", "--archive", one.at("/boot"), one.at("/before")],
    ["mount", "-o", "loop", image, one.at("/boot")],
    ["cp", "--archive", `${one.at("/before")}/.`, one.at("/boot")],
    ["sync", "--file-system", one.at("/boot")],
  ];
  for (const [program = "", ...args] of steps) {
    const { status: ended, stderr } = spawnSync(program, args, { encoding: "utf8" });
    if (ended !== 0) return `${program} ended with ${ended}: ${stderr}`;
  }
  return null;
}

test("on an ext4 whose journal is not replayed, as after a hard reset, GRUB's own reader finds what is armed, and what is taken back gone", {
  skip,
}, async (t) => {
  const one = grubWorld();
  const why = mountBoot(one);
  if (why !== null) return t.skip(why);
  const image = `${one.at("/")}/boot.img`;
  const read = (path: string) =>
    spawnSync("grub-fstest", [image, "cat", `(loop0)/${path}`], { encoding: "latin1" }).stdout;
  try {
    await runCommand(arm, [], one.system, person);
    assert.equal(read("grub/custom.cfg"), readFileSync(one.at("/boot/grub/custom.cfg"), "latin1"));
    assert.match(read("grub/grubenv"), /^next_entry=nightlatch-oneshot$/m);
    assert.equal(read("nightlatch/oneshot.cpio"), readFileSync(one.at(OVERLAY), "latin1"));
    await runCommand(disarm, [], one.system);
    assert.doesNotMatch(read("grub/grubenv"), /next_entry/);
  } finally {
    spawnSync("umount", [one.at("/boot")]);
  }
});

test("our part of custom.cfg is what grub-script-check takes", { skip }, async () => {
  const one = grubWorld({ files: { "/boot/grub/custom.cfg": "menuentry 'mine' { true; }\n" } });
  await runCommand(arm, [], one.system, person);
  const checked = spawnSync("grub-script-check", [one.at("/boot/grub/custom.cfg")]);
  assert.equal(checked.status, 0, String(checked.stderr));
  await runCommand(disarm, [], one.system);
  assert.equal(readFileSync(one.at("/boot/grub/custom.cfg"), "utf8"), "menuentry 'mine' { true; }\n");
});
