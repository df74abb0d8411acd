/**
 * What an initramfs holds, by us and by the kernel that unpacks it: random archives, hundreds in
 * one boot, each below a folder of its own; then ends that are odd, a boot each. A kernel is booted
 * with nothing but a shell that tells what it finds.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { inspectInitramfs } from "../../src/boot/initramfs/inspect.ts";
import { isError } from "../../src/core/errors.ts";
import { paddingBeforeOverlay } from "../../src/formats/initramfs/initramfs.ts";
import { nodeSystem } from "../../src/system/node.ts";
import { COMPRESSORS, type Compressor, rawCpio, rawEntries, unpackedByModel } from "../support/archives.ts";
import { accelerator } from "./harness/accelerator.ts";
import { lock } from "./harness/cache.ts";
import { bootImage } from "./harness/image.ts";
import { dataGuest, RELEASES, type Suite } from "./harness/recipe.ts";
import { onlyInFull } from "./harness/requirements.ts";

const CASES = 250;
const BOOT_DEADLINE_MS = 300_000;

const pack = (compressor: Compressor, plain: Buffer): Buffer => {
  const [program, ...args] = COMPRESSORS[compressor];
  const { status, stdout, stderr } = spawnSync(program, args, { input: plain, maxBuffer: 1 << 28 });
  assert.equal(status, 0, `${program}: ${stderr}`);
  return stdout;
};

/**
 * A shell and a program that tells, between two marks, a line for each name below the folders of
 * the cases.
 */
function shellArchive(): Buffer {
  const init = `#!/bin/busybox sh
/bin/busybox mkdir -p /dev /proc
/bin/busybox mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
echo BEGIN
for name in $(busybox find c[0-9]* 2>/dev/null); do
  if [ -f "$name" ]; then echo "$name=$(busybox cat "$name")"; else echo "$name="; fi
done
echo END
busybox dmesg | busybox grep -c 'Initramfs unpacking failed'
echo OVER
busybox poweroff -f
`;
  const libraries = spawnSync("ldd", ["/bin/busybox"]).stdout.toString();
  const files = [...libraries.matchAll(/(\/\S+)/g)].map(([path]) => path);
  const folders = new Set(["bin", ...files.flatMap(parentsOf)]);
  return rawCpio([
    ...[...folders].map((name) => ({ name, mode: 0o040755 })),
    { name: "bin/busybox", mode: 0o100755, content: readFileSync("/bin/busybox") },
    ...files.map((path) => ({ name: path.slice(1), mode: 0o100755, content: readFileSync(path) })),
    { name: "init", mode: 0o100755, content: init },
  ]);
}

function parentsOf(path: string): string[] {
  const parts = path.split("/").slice(1, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

interface Told {
  readonly names: readonly string[];
  readonly hasFailed: boolean;
}

/** @throws Error with the console's end where the kernel does not come so far */
async function boot(kernel: string, initramfs: Buffer): Promise<Told> {
  await using _turn = await lock("machine.lock");
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-unpack-"));
  try {
    writeFileSync(join(folder, "initramfs"), initramfs);
    const kvm = (await accelerator()) === "kvm";
    const argv = ["-nodefaults", "-display", "none", "-no-reboot", "-m", "768", "-serial", "stdio"];
    argv.push("-accel", kvm ? "kvm" : "tcg", "-cpu", kvm ? "host" : "max,-cx16", "-kernel", kernel);
    argv.push("-initrd", join(folder, "initramfs"), "-append", "console=ttyS0 quiet panic=-1 mitigations=off");
    const qemu = spawn("setpriv", ["--pdeathsig", "KILL", "nice", "-n", "10", "qemu-system-x86_64", ...argv]);
    const deadline = setTimeout(() => qemu.kill("SIGKILL"), BOOT_DEADLINE_MS);
    let text = "";
    for (const stream of [qemu.stdout, qemu.stderr]) {
      stream.on("data", (bytes: Buffer) => {
        text += bytes.toString("latin1");
      });
    }
    await new Promise((resolve) => qemu.once("close", resolve));
    clearTimeout(deadline);
    const lines = text.replaceAll("\r", "").split("\n");
    const [begin, end, over] = ["BEGIN", "END", "OVER"].map((mark) => lines.indexOf(mark)) as [number, number, number];
    assert.ok(begin >= 0 && end > begin && over > end, `the kernel did not tell:\n${lines.slice(-20).join("\n")}`);
    return { names: lines.slice(begin + 1, end).sort(), hasFailed: lines[end + 1] !== "0" };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Each behind the one before, with the padding that LZ4 needs where nothing else does. */
function chain(parts: readonly Buffer[]): Buffer {
  const out: Buffer[] = [];
  let lengthBytes = 0;
  for (const part of parts) {
    const padding = paddingBeforeOverlay(lengthBytes);
    out.push(padding, part);
    lengthBytes += padding.length + part.length;
  }
  return Buffer.concat(out.slice(1));
}

// An LZMA archive that another follows is refused by us, and has its place among the ends.
const compressors = fc.constantFrom(...(Object.keys(COMPRESSORS) as Compressor[]));

for (const suite of ["bookworm", "trixie"] as const satisfies readonly Suite[]) {
  test(`${RELEASES[suite]}'s kernel unpacks what we read`, { skip: onlyInFull() }, async (t) => {
    const { kernel } = await bootImage(dataGuest(suite));
    const seed = Number(process.env["NIGHTLATCH_TEST_SEED"] ?? Date.now() % 2 ** 31);
    const plain: Buffer[] = [];
    const packed: Buffer[] = [];
    for (let index = 0; index < CASES; index++) {
      const parts = fc.array(fc.tuple(rawEntries(`c${index}`), compressors), { minLength: 1, maxLength: 3 });
      for (const [entries, compressor] of fc.sample(parts, { numRuns: 1, seed: seed + index })[0] ?? []) {
        plain.push(rawCpio(entries));
        packed.push(pack(compressor, rawCpio(entries)));
      }
    }
    const told = await boot(kernel, chain([shellArchive(), ...packed]));
    assert.equal(told.hasFailed, false, `the kernel unpacked all of it (seed ${seed})`);
    const ours = unpackedByModel(plain).filter((name) => /^c\d/.test(name)); // links lead out of the folders
    assert.deepEqual(told.names, ours, `seed ${seed}`);
    t.diagnostic(
      `${CASES} cases, ${packed.length} archives, ${told.names.length} names, no disagreement; seed ${seed}`,
    );
  });
}

const small = rawCpio([{ name: "c0", mode: 0o040755 }]);
const comment = (archive: Buffer) => {
  const changed = Buffer.concat([archive.subarray(0, 10), Buffer.from("note\0"), archive.subarray(10)]);
  changed[3] = 0x10;
  return changed;
};

/**
 * Each is put behind an archive that is whole, aligned. What we refuse, though the kernel takes it,
 * says why.
 */
const ENDS: readonly { name: string; end: () => Buffer; weRefuse?: string }[] = [
  { name: "nothing", end: () => Buffer.alloc(0) },
  { name: "NULs", end: () => Buffer.alloc(7) },
  { name: "two bytes of LZ4's magic number", end: () => Buffer.from([0x02, 0x21]) },
  { name: "two bytes of zstd's", end: () => Buffer.from([0x28, 0xb5]) },
  { name: "text", end: () => Buffer.from("hello") },
  { name: "an archive that is not aligned", end: () => Buffer.concat([Buffer.alloc(2), small]) },
  { name: "a gzip archive with a comment", end: () => comment(pack("gzip", small)) },
  { name: "a gzip archive with a file's name", end: () => spawnGzipWithName() },
  { name: "a gzip archive that is cut", end: () => pack("gzip", small).subarray(0, -12) },
  { name: "a zstd archive that is cut", end: () => pack("zstd", small).subarray(0, -3) },
  { name: "an xz archive with CRC64", end: () => run(["xz", "--check=crc64", "-c"], small) },
  { name: "an xz archive with SHA-256", end: () => run(["xz", "--check=sha256", "-c"], small) },
  { name: "a zstd archive with a window of 256 MiB", end: () => run(["zstd", "-qc", "--ultra", "--long=28"], large()) },
  {
    name: "an LZMA archive and another",
    end: () => chain([pack("lzma", small), small]),
    weRefuse: "its end is unknown",
  },
  { name: "an LZ4 archive in the current format", end: () => run(["lz4", "-qc"], small) },
];

function run([program, ...args]: readonly [string, ...string[]], input: Buffer): Buffer {
  const { status, stdout, stderr } = spawnSync(program, args, { input, maxBuffer: 1 << 30 });
  assert.equal(status, 0, `${program}: ${stderr}`);
  return stdout;
}

function spawnGzipWithName(): Buffer {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-gzip-"));
  writeFileSync(join(folder, "named"), small);
  const packed = run(["gzip", "-c", join(folder, "named")], Buffer.alloc(0));
  rmSync(folder, { recursive: true });
  assert.ok(packed.includes(basename("named")));
  return packed;
}

/** Longer than the window, so that zstd says how large a window it needs. */
const large = () =>
  rawCpio([
    { name: "c0", mode: 0o040755 },
    { name: "c0/f", mode: 0o100644, content: Buffer.alloc(300 << 20) },
  ]);

test("ends that the kernel refuses are refused, and no other but one that cannot be told", {
  skip: onlyInFull(),
}, async (t) => {
  const { kernel } = await bootImage(dataGuest("trixie"));
  const shell = shellArchive();
  const wrong: string[] = [];
  for (const { name, end, weRefuse } of ENDS) {
    const initramfs = Buffer.concat([shell, end()]);
    const { hasFailed } = await boot(kernel, initramfs);
    const refused = await inspectInitramfs(nodeSystem, initramfs).then(
      () => false,
      (error: unknown) => {
        assert.ok(isError(error, "initramfs/malformed") || isError(error, "cpio/malformed"), String(error));
        return true;
      },
    );
    t.diagnostic(`${name}: the kernel ${hasFailed ? "fails" : "unpacks it"}, we ${refused ? "refuse" : "read it"}`);
    if (weRefuse === undefined ? refused !== hasFailed : !refused) wrong.push(name);
  }
  assert.deepEqual(wrong, []);
});
