import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { inspectInitramfs } from "../../../src/boot/initramfs/inspect.ts";
import { buildOverlay } from "../../../src/boot/overlay/overlay.ts";
import { isError } from "../../../src/core/errors.ts";
import type { Compression } from "../../../src/formats/initramfs/compressed-end.ts";
import { writeCpio } from "../../../src/formats/initramfs/cpio.ts";
import { joinInitrds, paddingBeforeOverlay } from "../../../src/formats/initramfs/initramfs.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { walkInitramfs } from "../../support/initramfs-parts.ts";

const folder = mkdtempSync(join(tmpdir(), "nightlatch-initramfs-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const missing = (program: string): string | false =>
  spawnSync("which", [program]).status === 0 ? false : `${program} is not installed`;

function run(argv: readonly [string, ...string[]], input: Buffer | string = "", cwd = folder): Buffer {
  const { status, stdout, stderr } = spawnSync(argv[0], argv.slice(1), { input, cwd, maxBuffer: 1 << 28 });
  assert.equal(status, 0, `${argv.join(" ")}: ${stderr}`);
  return stdout;
}

/** An archive by cpio(1), of a folder made from this: files, and links with where they lead. */
function archiveOf(
  name: string,
  files: Readonly<Record<string, string>>,
  links: Readonly<Record<string, string>> = {},
): Buffer {
  const tree = join(folder, name);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), text);
  }
  for (const [path, target] of Object.entries(links)) symlinkSync(target, join(tree, path));
  return run(["sh", "-c", "find . | LC_ALL=C sort | cpio -o -H newc --quiet -R 0:0"], "", tree);
}

const CRYPTTAB = "cryptroot UUID=1 none luks,discard\n";
const INITRAMFS_TOOLS = {
  init: "#!/bin/sh\n",
  "conf/initramfs.conf": "MODULES=most\n",
  "scripts/functions": "",
  "scripts/local-top/cryptroot": "",
  "scripts/init-bottom/ORDER": '/scripts/init-bottom/udev "$@"\n',
  "usr/sbin/cryptsetup": randomBytes(1_500_000).toString("base64"),
  "usr/lib/modules/6.1.0-50-amd64/modules.dep": "",
  "cryptroot/crypttab": CRYPTTAB,
};

test("a link that leads to nothing is told from one that leads to something", { skip: missing("cpio") }, async () => {
  const links = { bin: "usr/bin", "usr/bin/sh": "bash", "usr/bin/other": "dash", "usr/bin/round": "round" };
  const facts = await inspectInitramfs(nodeSystem, archiveOf("links", { "usr/bin/bash": "" }, links));
  const asked = ["bin/sh", "bin/bash", "bin/other", "bin/round", "bin/none"].filter((name) => facts.leads(name));
  assert.deepEqual(asked, ["bin/sh", "bin/bash"]);
  assert.ok(facts.has("bin/other"), "it is there, wherever it leads");
});

test("cpio(1) unpacks what we write, modes and all", { skip: missing("cpio") }, () => {
  const target = join(folder, "unpacked");
  mkdirSync(target);
  const files = [
    { name: "nightlatch/0.key", mode: 0o400, content: Buffer.alloc(64, 7) },
    { name: "nightlatch/later/data.key", mode: 0o400, content: Buffer.alloc(64, 8) },
    { name: "odd", mode: 0o755, content: Buffer.from("abc") },
  ];
  const archive = writeCpio(files, { nightlatch: 0o700 });
  run(["cpio", "-idm", "--quiet"], archive, target);
  for (const { name, mode, content } of files) {
    assert.deepEqual(readFileSync(join(target, name)), content);
    assert.equal(statSync(join(target, name)).mode & 0o7777, mode);
  }
  assert.equal(statSync(join(target, "nightlatch")).mode & 0o7777, 0o700);
  const listed = run(["cpio", "-it", "--quiet"], archive).toString().trim().split("\n");
  assert.deepEqual(listed, ["nightlatch", "nightlatch/0.key", "nightlatch/later", "nightlatch/later/data.key", "odd"]);
});

const COMPRESSORS: readonly (readonly [Compression, readonly [string, ...string[]]])[] = [
  ["gzip", ["gzip", "-n"]],
  ["bzip2", ["bzip2"]],
  ["lzma", ["lzma"]],
  ["xz", ["xz", "--check=crc32"]],
  ["lzop", ["lzop"]],
  ["lz4", ["lz4", "-l"]],
  ["zstd", ["zstd", "-q"]],
];

for (const [compression, compressor] of COMPRESSORS) {
  test(`${compression}: an initramfs with an early part is told from what is in it`, {
    skip: missing("cpio") || missing(compressor[0]),
  }, async () => {
    const early = archiveOf(`early-${compression}`, { "kernel/x86/microcode/AuthenticAMD.bin": "code" });
    const main = run([...compressor, "-c"], archiveOf(`main-${compression}`, INITRAMFS_TOOLS));
    const initramfs = joinInitrds([early, main]);
    assert.deepEqual(
      walkInitramfs(initramfs).map((part) => part.compression),
      [null, compression],
    );
    const facts = await inspectInitramfs(nodeSystem, initramfs);
    assert.equal(facts.generator, "initramfs-tools");
    assert.equal(facts.opensLuks, true);
    assert.equal(facts.crypttab, CRYPTTAB);
    assert.deepEqual(facts.releases, ["6.1.0-50-amd64"]);
    assert.equal(facts.has("/scripts/functions"), true);
    assert.equal(facts.content("scripts/init-bottom/ORDER"), '/scripts/init-bottom/udev "$@"\n');
    for (let paddingBytes = 1; paddingBytes < 8; paddingBytes++) {
      const padded = Buffer.concat([early, main, Buffer.alloc(paddingBytes)]);
      assert.equal((await inspectInitramfs(nodeSystem, padded)).generator, "initramfs-tools", `${paddingBytes} NULs`);
    }
    const overlaid = Buffer.concat([initramfs, paddingBeforeOverlay(initramfs.length), writeCpio([])]);
    // What follows an LZMA archive cannot be told.
    if (compression !== "lzma")
      assert.equal((await inspectInitramfs(nodeSystem, overlaid)).generator, "initramfs-tools");
    await assert.rejects(
      inspectInitramfs(nodeSystem, initramfs.subarray(0, initramfs.length - (main.length >> 1))),
      (error) => isError(error, "initramfs/malformed"),
    );
  });
}

test("the generators, and what each lacks without cryptsetup", { skip: missing("cpio") }, async () => {
  const dracut = {
    "usr/lib/dracut/build-parameter.txt": "",
    "usr/lib/systemd/systemd": "",
    "etc/cmdline.d/90crypt.conf": "rd.luks.uuid=luks-1\n",
  };
  const cases: [Record<string, string>, string | null, boolean][] = [
    [{ ...dracut, "usr/lib/systemd/systemd-cryptsetup": "" }, "dracut-systemd", true],
    [dracut, "dracut-systemd", false],
    [{ "usr/lib/dracut/hooks/cmdline/x": "", "usr/sbin/cryptsetup": "", "usr/sbin/cryptroot-ask": "" }, "dracut", true],
    [{ init_functions: "", "hooks/encrypt": "", "usr/bin/cryptsetup": "" }, "mkinitcpio", true],
    [
      { buildconfig: "", "usr/lib/systemd/systemd": "", "usr/lib/systemd/systemd-cryptsetup": "" },
      "mkinitcpio-systemd",
      true,
    ],
    [{ init: "", bin: "" }, null, false],
  ];
  for (const [index, [files, generator, opensLuks]] of cases.entries()) {
    const facts = await inspectInitramfs(nodeSystem, archiveOf(`case-${index}`, files));
    assert.deepEqual([facts.generator, facts.opensLuks], [generator, opensLuks]);
  }
  assert.equal(
    (await inspectInitramfs(nodeSystem, archiveOf("own-cmdline", dracut))).ownCmdline,
    "rd.luks.uuid=luks-1",
  );
});

for (const shell of ["dash", "busybox"]) {
  test(`${shell}: the keyscript gives the key, all of it, once, erases it, and then asks as before`, {
    skip: missing(shell) || missing("cpio"),
  }, async () => {
    const root = join(folder, `keyscript-${shell}`);
    mkdirSync(root);
    const key = Buffer.from(Array.from({ length: 64 }, (_, index) => (index * 5) % 256));
    const facts = await inspectInitramfs(nodeSystem, archiveOf(`facts-${shell}`, INITRAMFS_TOOLS));
    const volume = { name: "cryptroot", source: "UUID=1", key: "none", options: ["luks"] };
    const overlay = buildOverlay({ generator: "initramfs-tools", facts, volumes: [{ volume, key }], later: [] });
    run(["cpio", "-id", "--quiet"], overlay, root);
    const script = readFileSync(join(root, "nightlatch/0.sh"), "utf8")
      .replaceAll("/nightlatch/", `${root}/nightlatch/`)
      .replace("/lib/cryptsetup/askpass", `${root}/askpass`);
    writeFileSync(join(root, "script"), script);
    writeFileSync(join(root, "askpass"), `#!/bin/sh\nprintf "typed after: $1"\n`, { mode: 0o755 });
    // The programs of an initramfs are the shell's own family, and the reader is slow: the key is
    // gone before it is read.
    const programs = join(root, "bin");
    mkdirSync(programs);
    if (shell === "busybox") run(["busybox", "--install", "-s", programs]);
    const slowly = `${shell === "busybox" ? "busybox sh" : shell} ${root}/script | { while [ -e ${root}/nightlatch/0.key ]; do :; done; cat; }`;
    const ask = (tried: number) =>
      spawnSync("sh", ["-c", slowly], {
        env: { PATH: `${programs}:${process.env["PATH"]}`, CRYPTTAB_TRIED: String(tried), CRYPTTAB_NAME: "cryptroot" },
      });
    assert.deepEqual(ask(0).stdout, key);
    assert.equal(existsSync(join(root, "nightlatch/0.key")), false);
    assert.equal(ask(0).stdout.toString(), "typed after: Please unlock disk cryptroot: ");
    assert.equal(ask(1).stdout.toString(), "typed after: Please unlock disk cryptroot: ");
  });
}
