/**
 * What `nightlatch check` advises for a volume that the initramfs opens, applied to the letter with
 * Debian's own initramfs-tools and dracut, in a tree that has apt and all that a machine has but a
 * kernel that runs. Nothing is booted: the files new-user-*.test.ts do that.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { clevisLacks } from "../../../src/boot/initramfs/clevis.ts";
import { type InitramfsFacts, inspectInitramfs } from "../../../src/boot/initramfs/inspect.ts";
import { mendingOf } from "../../../src/boot/initramfs/mending.ts";
import type { Finding } from "../../../src/check/judge/finding.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { type Served, serve } from "../../support/serve.ts";
import { makeVolume, PASSPHRASE, runTool } from "../../support/volumes.ts";
import { runInTree } from "./chroot.ts";
import { type EncryptedRoot, recipeOf } from "./encrypted-root.ts";
import { customise, newest } from "./image.ts";
import { builtPackage } from "./package.ts";
import { moves } from "./recipe.ts";
import { stepsOf } from "./remedy.ts";
import { onlyInFull } from "./requirements.ts";
import { SHELF_INDEX } from "./shelf.ts";
import { treeArchive, withTree } from "./tree.ts";

export type Kind = Omit<EncryptedRoot, "deb"> & { readonly shelf: readonly string[] };

/** An address of this machine that a name can stand for. */
export const ADDRESS = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address;

const IMAGE = "/root.img";
const OPTIONS = "luks,discard,initramfs,x-initrd.attach";

/** A Debian machine's files, unpacked, with a root volume in an image of its own. */
export class Tree {
  readonly path: string;
  readonly uuid: string;
  readonly #dracut: boolean;
  readonly #suite: Kind["suite"];

  constructor(path: string, uuid: string, { generator, suite }: Kind) {
    this.path = path;
    this.uuid = uuid;
    this.#dracut = generator === "dracut";
    this.#suite = suite;
  }

  at(path: string): string {
    return join(this.path, path);
  }

  /**
   * What is typed at its shell, with the link that udev would make, and a root that is a mount of
   * its own.
   */
  run(command: string): Promise<string> {
    writeFileSync(this.at("/tmp/typed"), `set -eu\n${command}\n`);
    const link = `mkdir -p /dev/disk/by-uuid && ln -sf ${IMAGE} /dev/disk/by-uuid/${this.uuid}`;
    return runInTree(this.path, `${link}\nmount --rbind / /mnt\nexec chroot /mnt bash /tmp/typed`, 1_800_000);
  }

  crypttab(key = "none"): void {
    writeFileSync(this.at("/etc/crypttab"), `cryptroot UUID=${this.uuid} ${key} ${OPTIONS}\n`);
  }

  /** As grub-mkconfig writes it, in short. */
  grub(words: string): void {
    const [kernel, initrd] = ["vmlinuz-", "initrd.img-"].map((prefix) =>
      newest(this.path, prefix).slice(this.path.length),
    );
    const text = `menuentry Debian {\nlinux ${kernel} root=/dev/mapper/cryptroot ro ${words}\ninitrd ${initrd}\n}\n`;
    writeFileSync(this.at("/boot/grub/grub.cfg"), text);
  }

  async check(): Promise<Finding[]> {
    const out = await this.run("nightlatch check --json || [ $? = 1 ]");
    const { findings } = JSON.parse(out) as { findings: Finding[] };
    // A tree has no systemd that runs; who else may be in it is not what is asked here.
    return findings.filter(({ subject }) => subject === "cryptroot");
  }

  /** Each step to the letter, as a person does who has the passphrase. */
  async apply({ remedy }: Finding): Promise<void> {
    for (const step of stepsOf(remedy)) {
      if ("line" in step) {
        const lines = readFileSync(this.at(step.file), "utf8").split("\n");
        writeFileSync(this.at(step.file), lines.with(step.line - 1, step.text).join("\n"));
      } else {
        const asks = /^nightlatch (?:un)?bind /.test(step.command);
        await this.run(asks ? `printf %s '${PASSPHRASE}' | ${step.command} --key-file -` : step.command);
      }
    }
  }

  facts(): Promise<InitramfsFacts> {
    return inspectInitramfs(nodeSystem, readFileSync(newest(this.path, "initrd.img-")));
  }

  /** What a package runs at any time, and with dracut before Debian testing's a person. */
  get rebuild(): string {
    const byHand = this.#dracut && !moves(this.#suite);
    return byHand ? "dracut --force --kver $(ls /lib/modules | head -n 1)" : "update-initramfs -u";
  }

  /** What the package of a kernel runs that concerns the initramfs. */
  get newKernel(): string {
    const hooks = [this.#dracut ? "dracut" : "initramfs-tools", "zy-nightlatch"];
    const run = hooks.map((hook) => `/etc/kernel/postinst.d/${hook} $kernel /boot/vmlinuz-$kernel`);
    return ["kernel=$(ls /lib/modules | head -n 1)", ...run].join(" && ");
  }
}

export async function withRoot(kind: Kind, use: (tree: Tree) => Promise<void>): Promise<void> {
  const deb = await builtPackage();
  await withTree(await treeArchive(recipeOf({ ...kind, deb })), async (path) => {
    const image = makeVolume(path, IMAGE.slice(1), "luks2");
    const uuid = String(runTool(["cryptsetup", "luksUUID", image])).trim();
    const tree = new Tree(path, uuid, kind);
    await customise(path, deb, {}, [SHELF_INDEX, "mkdir -p /boot/grub"]);
    tree.crypttab();
    writeFileSync(tree.at("/etc/fstab"), "/dev/mapper/cryptroot / ext4 errors=remount-ro 0 1\n");
    await tree.run(kind.generator === "dracut" ? "dracut --force --regenerate-all" : "update-initramfs -u -k all");
    tree.grub(kind.generator === "dracut" ? `rd.luks.name=${uuid}=cryptroot` : "");
    await use(tree);
  });
}

/** A server whose invites name it so. */
export async function serveAs(name: string): Promise<Served> {
  const probe = createServer().listen(0, ADDRESS);
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  await new Promise((done) => probe.close(done));
  return serve({ listen: `${ADDRESS}:${port}`, args: ["--url", `http://${name}:${port}`] });
}

const early = (findings: readonly Finding[]) => findings.map(({ code }) => code).sort();

const skip = onlyInFull() || (ADDRESS === undefined ? "this machine has no address but its own" : false);

/** One file a generator. */
export function testGenerator(kind: Kind): void {
  test(`${kind.suite}, ${kind.generator}: a new user's way, with nothing but what check prints`, { skip }, async () => {
    await using server = await serveAs("keys");
    await withRoot(kind, async (tree) => {
      assert.deepEqual(await tree.check(), [], "unbound, it asks as it always did");
      // The server's name is in the machine's /etc/hosts alone.
      appendFileSync(tree.at("/etc/hosts"), `${ADDRESS} keys\n`);
      const { invite } = await server.json("machine", "invite", "nas");
      const bind = `nightlatch bind /dev/disk/by-uuid/${tree.uuid} latch ${String(invite)} --key-file -`;
      await tree.run(`printf %s '${PASSPHRASE}' | ${bind}`);
      const found = await tree.check();
      const network = kind.generator === "dracut" ? ["check/initramfs-network"] : [];
      assert.deepEqual(early(found), ["check/initramfs-clevis", "check/initramfs-name", ...network]);
      for (const finding of found) await tree.apply(finding);
      assert.deepEqual(await tree.check(), []);
      await tree.run(tree.rebuild);
      assert.deepEqual(await tree.check(), []);
      const facts = await tree.facts();
      assert.ok(facts.has("usr/bin/clevis-decrypt-tang"));

      // The advice of an older release: the agent's socket for the root.
      tree.crypttab("/run/nightlatch/agent.sock");
      const [wrong] = await tree.check();
      assert.equal(wrong?.code, "check/initramfs");
      await tree.apply(wrong);
      assert.deepEqual(await tree.check(), []);
      assert.equal(readFileSync(tree.at("/etc/crypttab"), "utf8"), `cryptroot UUID=${tree.uuid} none ${OPTIONS}\n`);

      // An initramfs that was made while crypttab did not have the root.
      tree.grub("");
      writeFileSync(tree.at("/etc/crypttab"), "");
      await tree.run(tree.rebuild);
      tree.crypttab();
      const missing = (await tree.check()).filter(({ code }) => code === "check/initramfs-missing");
      assert.equal(missing.length, 1);
      for (const finding of missing) await tree.apply(finding);
      assert.deepEqual(await tree.check(), []);
    });
  });

  test(`${kind.suite}, ${kind.generator}: certificates, by each generator`, { skip: onlyInFull() }, async () => {
    await withRoot(kind, async (tree) => {
      const [generator, rest] =
        kind.generator === "dracut"
          ? (["dracut-systemd", "ro rd.neednet=1"] as const)
          : (["initramfs-tools", "ro"] as const);
      await tree.run(`apt-get install ${kind.shelf.join(" ")}`);
      const lacks = async () =>
        clevisLacks(generator, await tree.facts(), {
          pins: ["tang"],
          network: true,
          urls: ["https://keys.example.org"],
          luksVersion: 2,
          cmdline: rest,
          mending: mendingOf(kind.generator, new Map([["ID", "debian"]])),
          names: new Map(),
          rebind: () => "",
        });
      const found = (await lacks()).filter(({ code }) => code === "certificates");
      assert.equal(found.length, 1);
      for (const { remedy } of found) await tree.run(remedy);
      assert.deepEqual(
        (await lacks()).filter(({ code }) => code === "certificates"),
        [],
      );
    });
  });
}
