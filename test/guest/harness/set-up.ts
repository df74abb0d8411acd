/**
 * `bind --setup` with Debian's own apt, initramfs-tools and dracut, in a tree that has all that a
 * machine has but a kernel that runs: the image that it leaves is read back, a new one that would
 * not do is not put in place, and `unbind` takes back what was written.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { mendingOf } from "../../../src/boot/initramfs/mending.ts";
import { networkLacks } from "../../../src/boot/initramfs/network.ts";
import { PASSPHRASE } from "../../support/volumes.ts";
import { ADDRESS, type Kind, serveAs, type Tree, withRoot } from "./check-initramfs.ts";
import { newest } from "./image.ts";
import { judged } from "./moving.ts";
import { onlyInFull } from "./requirements.ts";

interface Expected {
  /** What the set-up writes. */
  readonly files: readonly string[];
  /** A file of the administrator's that keeps a part of clevis out of the initramfs. */
  readonly spoiler: { readonly path: string; readonly text: string };
  /** What the initramfs holds that gives clevis its deadline. */
  readonly deadline: readonly string[];
}

const image = (tree: Tree) => newest(tree.path, "initrd.img-");
const digest = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");
const beside = (tree: Tree) => readdirSync(tree.at("/boot")).filter((name) => name.includes(".nightlatch-"));

/** Every command's output, and its status at the end. */
const told = (tree: Tree, command: string) => tree.run(`{ ${command}; } 2>&1 && echo status 0 || echo status $?`);

async function setUp(kind: Kind, { files, spoiler, deadline }: Expected): Promise<void> {
  await using server = await serveAs(String(ADDRESS));
  await withRoot(kind, async (tree) => {
    const device = `/dev/disk/by-uuid/${tree.uuid}`;
    const { invite } = await server.json("machine", "invite", "nas");
    const bind = (words: string) => `printf %s '${PASSPHRASE}' | nightlatch bind ${device} ${words} --key-file -`;
    const before = digest(image(tree));

    const left = await told(tree, bind(`latch ${String(invite)}`));
    assert.match(left, /^To set it up: the same command with --setup/m, "nobody is there to be asked");
    assert.match(left, /status 0\n$/);
    assert.equal(digest(image(tree)), before);

    // A new image that would not do: the old one boots, and nothing of ours is left.
    writeFileSync(tree.at(spoiler.path), spoiler.text, { mode: 0o755 });
    const refused = await told(tree, bind("latch --setup"));
    assert.match(refused, /\[setup\/not-proved\][\s\S]*status 1\n$/);
    assert.equal(digest(image(tree)), before, "the image that boots is the old one");
    assert.deepEqual(beside(tree), []);
    for (const path of files) assert.equal(existsSync(tree.at(path)), false, path);
    rmSync(tree.at(spoiler.path));

    const done = await told(tree, bind("latch --setup"));
    assert.match(done, /made anew, read back and proved[\s\S]*status 0\n$/, done);
    assert.deepEqual(beside(tree), []);
    for (const path of files) assert.ok(existsSync(tree.at(path)), path);
    assert.deepEqual(await tree.check(), []);
    const facts = await tree.facts();
    for (const name of deadline) assert.ok(facts.has(name), name);

    // Again, it has nothing to do.
    const ready = digest(image(tree));
    const again = await told(tree, bind("latch --setup --json"));
    assert.match(again, /"initramfs":"ready"[\s\S]*status 0\n$/);
    assert.equal(digest(image(tree)), ready);

    // What a kernel's update makes is looked at at once, once, and told; it fails nothing.
    const kernel = await told(tree, tree.newKernel);
    assert.equal(kernel.match(/: nothing was found\.$/gm)?.length, 1, kernel);
    assert.match(await told(tree, tree.rebuild), /: nothing was found\.\n[\s\S]*status 0\n$/);
    writeFileSync(tree.at(spoiler.path), spoiler.text, { mode: 0o755 });
    assert.match(await told(tree, tree.rebuild), /\[check\/initramfs-clevis\][\s\S]*status 0\n$/);
    rmSync(tree.at(spoiler.path));

    // A card's fixed address, which the tree does not have: what is written down for it arrives.
    const card = {
      card: "ens3",
      mac: "52:54:00:12:34:56",
      gateways: ["192.0.2.1", "fe80::1"],
      nameServers: ["192.0.2.53"],
    };
    const host = { kind: "fixed", network: { ...card, addresses: ["192.0.2.10/24", "2001:db8::10/64"] } } as const;
    const mending = mendingOf(kind.generator, new Map([["ID", "debian"]]));
    const lacks = async () =>
      networkLacks(await tree.facts(), { host, cmdline: "ro", mending, urls: [], names: new Map(), rebind: () => "" });
    const [lack, ...more] = await lacks();
    assert.deepEqual([lack?.code, more], ["network", []]);
    await tree.run(String(lack?.remedy));
    assert.deepEqual(await lacks(), []);
    for (const step of lack?.steps ?? []) if (step.kind === "file") rmSync(tree.at(step.path));

    const unbound = await told(tree, `printf %s '${PASSPHRASE}' | nightlatch unbind ${device} latch --key-file -`);
    assert.match(unbound, /status 0\n$/);
    for (const path of files) assert.match(unbound, new RegExp(`^Taken back: ${path}$`, "m"));
    for (const path of files) assert.equal(existsSync(tree.at(path)), false, path);
  });
}

/** What a set-up with dracut writes, and what its initramfs has by it. */
const DRACUT: Expected = {
  files: ["/etc/dracut.conf.d/nightlatch-network.conf"],
  spoiler: { path: "/etc/dracut.conf.d/spoiler.conf", text: 'omit_dracutmodules+=" clevis-pin-tang "\n' },
  deadline: [
    "etc/nightlatch/.curlrc",
    "usr/lib/systemd/system/clevis-luks-askpass.service.d/nightlatch.conf",
    "usr/lib/systemd/system/nightlatch-wait.service",
    "usr/libexec/nightlatch-wait",
  ],
};

/** The same of a suite's dracut. */
export function testSetUpByDracut(suite: Kind["suite"]): void {
  const shelf = ["clevis-dracut"];
  testSetUp({ suite, generator: "dracut", compression: "zstd", loader: "grub-bios", shelf }, DRACUT);
}

const skip = onlyInFull() || (ADDRESS === undefined ? "this machine has no address but its own" : false);

/** One file a generator. */
export function testSetUp(kind: Kind, expected: Expected): void {
  test(`${kind.suite}, ${kind.generator}: bind sets the initramfs up, or leaves it as it is`, { skip }, (t) =>
    judged(t, kind.suite, () => setUp(kind, expected)),
  );
}
