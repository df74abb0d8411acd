/**
 * What `--via bindings` looks for in an initramfs, against those that Debian's own clevis packages
 * make. Nothing is booted.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type ClevisTask, clevisLacks } from "../../src/boot/initramfs/clevis.ts";
import {
  type Generator as FoundGenerator,
  type InitramfsFacts,
  inspectInitramfs,
} from "../../src/boot/initramfs/inspect.ts";
import { mendingOf } from "../../src/boot/initramfs/mending.ts";
import { nodeSystem } from "../../src/system/node.ts";
import { runInTree } from "./harness/chroot.ts";
import type { Generator } from "./harness/encrypted-root.ts";
import { judged, tellVersions } from "./harness/moving.ts";
import { type GuestFile, KERNEL, type Recipe, SPLIT_OFF, type Suite } from "./harness/recipe.ts";
import { onlyInFull } from "./harness/requirements.ts";
import { treeArchive, withTree } from "./harness/tree.ts";

const TANG: ClevisTask = {
  pins: ["tang"],
  network: true,
  urls: ["http://192.0.2.1"],
  luksVersion: 2,
  cmdline: "ro rd.neednet=1",
  mending: mendingOf("initramfs-tools", new Map()),
  names: new Map(),
  rebind: () => "",
};
const TASKS: readonly ClevisTask[] = [TANG, { ...TANG, pins: ["sss", "tang"] }, { ...TANG, luksVersion: 1 }];

const BASE = ["systemd-sysv", "udev", "kmod", "zstd", "cryptsetup", "iproute2", "e2fsprogs"];

function recipe(suite: Suite, generator: Generator, clevis: boolean): Recipe {
  const own = generator === "dracut" ? ["dracut", "dracut-network"] : ["initramfs-tools", "cryptsetup-initramfs"];
  const hook = clevis ? [generator === "dracut" ? "clevis-dracut" : "clevis-initramfs"] : [];
  const files: Record<string, GuestFile> =
    generator === "dracut"
      ? {
          "/etc/dracut.conf.d/guest.conf": {
            text: `hostonly="no"\nadd_dracutmodules+=" crypt ${clevis ? "clevis clevis-pin-tang clevis-pin-sss " : ""}"\n`,
          },
        }
      : {
          "/etc/initramfs-tools/conf.d/guest": { text: "MODULES=list\nCOMPRESS=zstd\nRESUME=none\n" },
          "/etc/initramfs-tools/modules": { text: "virtio_pci\nvirtio_blk\nvirtio_net\next4\ndm_crypt\n" },
          "/etc/cryptsetup-initramfs/conf-hook": { text: "CRYPTSETUP=y\n" },
        };
  const name = `${clevis ? "clevis" : "crypt"}-${suite}-${generator}`;
  return {
    name,
    suite,
    packages: [[...BASE, ...SPLIT_OFF[suite]], own, hook, [KERNEL]].filter((list) => list.length > 0),
    files,
    finish: [],
  };
}

async function factsOf(made: Recipe, t: TestContext): Promise<InitramfsFacts> {
  return withTree(await treeArchive(made), async (tree) => {
    await tellVersions(t, made.suite, (script) => runInTree(tree, script));
    const [name] = readdirSync(join(tree, "boot")).filter((file) => /^initrd\.img-/.test(file));
    return inspectInitramfs(nodeSystem, readFileSync(join(tree, "boot", String(name))));
  });
}

const CASES: readonly (readonly [Suite, Generator, FoundGenerator])[] = [
  ["bookworm", "initramfs-tools", "initramfs-tools"],
  ["trixie", "initramfs-tools", "initramfs-tools"],
  ["trixie", "dracut", "dracut-systemd"],
  ["forky", "initramfs-tools", "initramfs-tools"],
  ["forky", "dracut", "dracut-systemd"],
];

for (const [suite, generator, found] of CASES) {
  test(`${suite}, ${generator}: clevis is found where its package was installed`, { skip: onlyInFull() }, (t) =>
    judged(t, suite, () => clevisFound(t, suite, generator, found)),
  );
}

async function clevisFound(t: TestContext, suite: Suite, generator: Generator, found: FoundGenerator): Promise<void> {
  const facts = await factsOf(recipe(suite, generator, true), t);
  assert.deepEqual([facts.generator, facts.opensLuks], [found, true]);
  for (const task of TASKS) assert.deepEqual(clevisLacks(found, facts, task), [], JSON.stringify(task.pins));
  assert.match(String(clevisLacks(found, facts, { ...TANG, pins: ["nonsense"] })[0]?.what), /clevis-decrypt-nonsense/);
  const [release = ""] = facts.releases;
  const driver = `usr/lib/modules/${release}/kernel/drivers/net/virtio_net.ko`;
  assert.ok(
    [driver, `${driver}.xz`, `${driver}.zst`].some((name) => facts.has(name)),
    "the driver's place is known",
  );
}

test("bookworm, initramfs-tools: without the package it is missed", { skip: onlyInFull() }, async (t) => {
  const facts = await factsOf(recipe("bookworm", "initramfs-tools", false), t);
  assert.equal(facts.opensLuks, true);
  assert.match(
    String(clevisLacks("initramfs-tools", facts, TANG)[0]?.what),
    /^the initramfs holds no scripts\/local-top\/clevis/,
  );
});
