/**
 * A machine's /boot and /etc in a folder, with one kernel. mkinitramfs and apt-get are played, by
 * what they leave in files; ln, mv, sync and rm are real, on paths in that folder.
 */
// @ts-nocheck

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { clevisLacks } from "../../src/boot/initramfs/clevis.ts";
import { type InitramfsFacts, inspectInitramfs } from "../../src/boot/initramfs/inspect.ts";
import { addDriver, mendingOf, REBUILD_STEP } from "../../src/boot/initramfs/mending.ts";
import { writeCpio } from "../../src/formats/initramfs/cpio.ts";
import type { applySetup } from "../../src/setup/apply.ts";
import { planSetup } from "../../src/setup/plan.ts";
import { nodeSystem } from "../../src/system/node.ts";
import type { Exit, System } from "../../src/system/port.ts";
import { CLEVIS } from "./check-machine.ts";

export const RELEASE = "6.1.0-1-amd64";
export const IMAGE = `/boot/initrd.img-${RELEASE}`;
export const DRIVER_HOOK = "/etc/initramfs-tools/hooks/nightlatch-driver";
const CRYPTTAB = "cryptroot UUID=10000000-0000-4000-8000-000000000001 none luks\n";
const MODULES = `usr/lib/modules/${RELEASE}/kernel`;

const DEBIAN = mendingOf("initramfs-tools", new Map([["ID", "debian"]]));

export class InitramfsMachine implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "nightlatch-initramfs-"));
  readonly system: System;
  /** What mkinitramfs leaves out, or does before it ends; each spoils the new image. */
  spoil: "nothing" | "no module" | "no volume" | "no clevis" | "fails" = "nothing";
  /** Whether apt-get has the image made anew, as dpkg's triggers do. */
  hasTrigger = false;

  constructor() {
    for (const path of ["/boot", "/etc/initramfs-tools/hooks", "/state"]) mkdirSync(this.at(path), { recursive: true });
    this.write(`/lib/modules/${RELEASE}/modules.dep`, "");
    this.write(IMAGE, this.#build());
    this.system = this.#system();
  }

  at(path: string): string {
    return join(this.folder, path);
  }

  write(path: string, content: string | Buffer): void {
    mkdirSync(dirname(this.at(path)), { recursive: true });
    writeFileSync(this.at(path), content);
  }

  read(path: string): Buffer {
    return readFileSync(this.at(path));
  }

  /** What is asked of the set-up. */
  request(): Parameters<typeof applySetup>[1] {
    const steps = [{ kind: "install", name: "clevis-initramfs" } as const, REBUILD_STEP];
    const lacks = [
      { what: "clevis", remedy: "", steps },
      { what: "driver", ...addDriver(DEBIAN, ["e1000e"], "driver") },
    ];
    return {
      stateFolder: "/state",
      uuid: "10000000-0000-4000-8000-000000000001",
      plan: planSetup(lacks),
      mending: DEBIAN,
      cmdline: "ro",
      lacksOf: async (facts) => this.lacks(facts),
      tell: () => {},
    };
  }

  lacks(facts: InitramfsFacts): { what: string }[] {
    const task = { pins: ["tang"], network: true, urls: [], luksVersion: 2, cmdline: "ro" } as const;
    const found = clevisLacks("initramfs-tools", facts, {
      ...task,
      mending: DEBIAN,
      names: new Map(),
      rebind: () => "",
    });
    return facts.has(`${MODULES}/e1000e.ko`) ? found : [...found, { what: "it has no e1000e" } as never];
  }

  /** What is wrong with the image that boots: null where it boots as ever; `ready` tells more. */
  async outlook(): Promise<{ boots: boolean; ready: boolean }> {
    const facts = await inspectInitramfs(nodeSystem, this.read(IMAGE));
    const boots = facts.opensLuks && facts.crypttab === CRYPTTAB && facts.has(`${MODULES}/ext4.ko`);
    return { boots, ready: boots && this.lacks(facts).length === 0 };
  }

  #build(): Buffer {
    const has = (path: string) => {
      try {
        return this.read(path);
      } catch {
        return null;
      }
    };
    const plain = ["conf/initramfs.conf", "scripts/functions", "scripts/local-top/cryptroot", "usr/sbin/cryptsetup"];
    const driver = /^force_load (\S+)$/m.exec(String(has(DRIVER_HOOK)))?.[1];
    const names = [
      ...plain,
      ...(this.spoil === "no module" ? [] : [`${MODULES}/ext4.ko`]),
      `${MODULES}/dm-crypt.ko`,
      ...(driver === undefined ? [] : [`${MODULES}/${driver}.ko`]),
      ...(has("/usr/bin/clevis") === null || this.spoil === "no clevis" ? [] : CLEVIS),
    ];
    return writeCpio([
      ...names.map((name) => ({ name, mode: 0o644, content: Buffer.alloc(0) })),
      {
        name: "cryptroot/crypttab",
        mode: 0o644,
        content: Buffer.from(this.spoil === "no volume" ? "" : CRYPTTAB),
      },
    ]);
  }

  #play(argv: readonly string[]): Exit | null {
    const exit = (status: number): Exit => ({
      status,
      signal: null,
      stdout: Buffer.alloc(0),
      stderr: Buffer.from(status === 0 ? "" : "as the test wants"),
    });
    if (argv[0] === "mkinitramfs") {
      if (this.spoil === "fails") return exit(1);
      this.write(String(argv[2]), this.#build());
      return exit(0);
    }
    if (!argv.includes("apt-get")) return null;
    this.write("/usr/bin/clevis", "");
    if (this.hasTrigger) {
      rmSync(this.at(IMAGE)); // another file takes its place, as update-initramfs does by a rename
      this.write(IMAGE, this.#build());
    }
    return exit(0);
  }

  #system(): System {
    const at = (path: string) => this.at(path);
    return {
      ...nodeSystem,
      run: async (command) => {
        const played = this.#play(command.argv);
        if (played !== null) return played;
        const [program, ...rest] = command.argv;
        const argv = rest.map((word) => (word.startsWith("/") ? at(word) : word));
        return nodeSystem.run({ ...command, argv: [program, ...argv] });
      },
      stat: (path) => nodeSystem.stat(at(path)),
      freeBytes: (path) => nodeSystem.freeBytes(at(path)),
      readFile: (path, limitBytes) => nodeSystem.readFile(at(path), limitBytes),
      readFileIfPresent: (path, limitBytes) => nodeSystem.readFileIfPresent(at(path), limitBytes),
      listDirectory: (path) => nodeSystem.listDirectory(at(path)),
      writeFile: (path, bytes, mode) => nodeSystem.writeFile(at(path), bytes, mode),
      removeFile: (path) => nodeSystem.removeFile(at(path)),
    };
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
