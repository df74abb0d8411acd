/**
 * What an initramfs holds, by us and by those who write and unpack it: cpio(1) and the compressors
 * over random trees, concatenations and odd ends. The kernel itself is asked in
 * test/guest/initramfs-unpacking.test.ts.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { linkSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { inspectInitramfs } from "../../../src/boot/initramfs/inspect.ts";
import { isError } from "../../../src/core/errors.ts";
import { nextPart, paddingBeforeOverlay } from "../../../src/formats/initramfs/initramfs.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { COMPRESSORS, type Compressor, rawCpio, unpackedByModel } from "../../support/archives.ts";

const folder = mkdtempSync(join(tmpdir(), "nightlatch-archives-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const isFull = Boolean(process.env["NIGHTLATCH_TEST_FULL"]);

function run(argv: readonly [string, ...string[]], input: Buffer | string = "", cwd = folder): Buffer {
  const { status, stdout, stderr } = spawnSync(argv[0], argv.slice(1), { input, cwd, maxBuffer: 1 << 28 });
  assert.equal(status, 0, `${argv.join(" ")}: ${stderr}`);
  return stdout;
}

interface Tree {
  readonly files: Readonly<Record<string, string>>;
  /** Further names of a file: name → the file. */
  readonly links: Readonly<Record<string, string>>;
  readonly symlinks: Readonly<Record<string, string>>;
}

const NAMES = ["etc/crypttab", "etc/crypttab.initramfs", "a", "z", "m/a", "m/z", "etc/0"];

const trees: fc.Arbitrary<Tree> = fc
  .record({
    files: fc.dictionary(fc.constantFrom(...NAMES), fc.string({ unit: fc.constantFrom(..."ab\n"), maxLength: 6 }), {
      minKeys: 1,
    }),
    links: fc.dictionary(fc.constantFrom(...NAMES, "b", "n/b"), fc.nat(6)),
    symlinks: fc.dictionary(fc.constantFrom("l", "etc/l", "m/l"), fc.constantFrom("a", "../a", "m", "/m/a", "none")),
  })
  .map(({ files, links, symlinks }) => {
    const names = Object.keys(files);
    const free = Object.entries(links).filter(([name]) => !names.includes(name));
    return {
      files,
      symlinks,
      links: Object.fromEntries(free.map(([name, at]) => [name, names[at % names.length]])),
    } as Tree;
  });

let made = 0;

/** The tree on a disk, its archive by cpio(1), and what its names hold. */
function archiveOf({ files, links, symlinks }: Tree): { archive: Buffer; listing: string[] } {
  const root = join(folder, `tree-${made++}`);
  const place = (name: string) => {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    return join(root, name);
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(place(name), text);
  for (const [name, file] of Object.entries(links)) linkSync(join(root, file), place(name));
  for (const [name, target] of Object.entries(symlinks)) symlinkSync(target, place(name));
  const archive = run(["sh", "-c", "find . -print0 | sort -z | cpio -0 -o -H newc --quiet -R 0:0"], "", root);
  const listing = run(["find", ".", "-mindepth", "1", "-printf", "%P\\n"], "", root).toString().trim().split("\n");
  const lines = listing.map((name) => {
    const isFile = lstatSync(join(root, name)).isFile();
    return `${name}=${isFile ? readFileSync(join(root, name), "utf8") : ""}`;
  });
  rmSync(root, { recursive: true });
  return { archive, listing: lines.sort() };
}

/**
 * Without what a symbolic link leads to, which on this disk is another place than in the archive.
 */
const withoutTargets = (lines: readonly string[], { symlinks }: Tree): string[] =>
  lines.map((line) => (Object.hasOwn(symlinks, line.split("=")[0] ?? "") ? line.replace(/=.*$/s, "=") : line));

test("the files of an archive that cpio(1) wrote, hard links and all, are those that it was made of", (t) => {
  const numRuns = isFull ? 1000 : 60;
  fc.assert(
    fc.property(trees, (tree) => {
      const { archive, listing } = archiveOf(tree);
      assert.deepEqual(withoutTargets(unpackedByModel([archive]), tree), listing);
    }),
    { numRuns },
  );
  t.diagnostic(`${numRuns} trees, no disagreement`);
});

const compressors = fc.constantFrom(...(Object.keys(COMPRESSORS) as Compressor[]));

/** The end that only a decoder finds is the compressor's own word for it: all that it wrote. */
test("an archive's end is where its compressor ended, whatever follows", (t) => {
  const numRuns = isFull ? 600 : 40;
  const seen = new Map<Compressor, number>();
  fc.assert(
    fc.property(
      compressors.filter((name) => name !== "gzip" && name !== "lzma"),
      fc.uint8Array({ maxLength: 70_000 }),
      fc.integer({ min: 1, max: 40 }),
      (compressor, noise, repeat) => {
        const content = Buffer.concat(Array.from({ length: repeat }, () => noise));
        const plain = rawCpio([{ name: "f", mode: 0o100644, content }]);
        const packed = run([...COMPRESSORS[compressor]], plain);
        const end = packed.length;
        const behind = Buffer.concat([packed, paddingBeforeOverlay(end), rawCpio([])]);
        assert.equal(nextPart(behind, 0)?.endBytes, end, compressor);
        seen.set(compressor, (seen.get(compressor) ?? 0) + 1);
      },
    ),
    { numRuns },
  );
  t.diagnostic(`${numRuns} archives: ${[...seen].map(([name, count]) => `${name} ${count}`).join(", ")}`);
});

const DRACUT = ["usr/lib/dracut/build-parameter.txt", "usr/lib/systemd/systemd", "usr/lib/systemd/systemd-cryptsetup"];
const parents = (name: string) => {
  const parts = name.split("/").slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
};
const filesOf = (files: Readonly<Record<string, string>>): Buffer => {
  const folders = [...new Set(Object.keys(files).flatMap(parents))].sort();
  return rawCpio([
    ...folders.map((name) => ({ name, mode: 0o040755 })),
    ...Object.entries(files).map(([name, content]) => ({ name, mode: 0o100644, content })),
  ]);
};

/** Each with a crypttab of its own: the last that the kernel unpacks counts. */
test("of archives that follow each other, however compressed, the last crypttab counts", async (t) => {
  const numRuns = isFull ? 300 : 30;
  const chains = fc.array(fc.tuple(compressors, fc.integer({ min: 0, max: 9 })), { minLength: 1, maxLength: 4 });
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(chains, async (chain) => {
      const whole: Buffer[] = [];
      let lengthBytes = 0;
      for (const [index, [compressor, paddingBytes]] of chain.entries()) {
        const files = index === 0 ? Object.fromEntries(DRACUT.map((name) => [name, name])) : {};
        const plain = filesOf({ ...files, "etc/crypttab": `root-${index} UUID=1 none luks\n` });
        // lz4 reads the size of a next block: without four NULs the kernel takes what follows for
        // one.
        const least = chain[index - 1]?.[0] === "lz4" ? 4 : 0;
        const padding = Math.max(paddingBytes, least);
        const aligned = compressor === "none" ? padding + (-(lengthBytes + padding) & 3) : padding;
        whole.push(Buffer.alloc(aligned), run([...COMPRESSORS[compressor]], plain));
        lengthBytes += aligned + (whole.at(-1)?.length ?? 0);
      }
      const bytes = Buffer.concat(whole);
      const isUnknown = chain.slice(0, -1).some(([compressor]) => compressor === "lzma");
      if (isUnknown) {
        refused++;
        await assert.rejects(inspectInitramfs(nodeSystem, bytes), (error) => isError(error, "initramfs/malformed"));
        return;
      }
      const facts = await inspectInitramfs(nodeSystem, bytes);
      assert.deepEqual(
        [facts.generator, facts.opensLuks, facts.crypttab],
        ["dracut-systemd", true, `root-${chain.length - 1} UUID=1 none luks\n`],
        JSON.stringify(chain),
      );
    }),
    { numRuns },
  );
  t.diagnostic(
    `${numRuns} chains; in ${refused} an LZMA archive came before the last, and what follows it was refused`,
  );
});

test("an archive that is cut, lengthened or changed at its end is read or refused, in as many steps as it has bytes", async (t) => {
  const numRuns = isFull ? 3000 : 200;
  const plain = filesOf({ "etc/crypttab": "root UUID=1 none luks\n" });
  const packed = (Object.keys(COMPRESSORS) as Compressor[]).map((name) => run([...COMPRESSORS[name]], plain));
  const magics = [
    [0x02, 0x21],
    [0x1f, 0x8b],
    [0x28, 0xb5],
    [0xfd, 0x37],
    [0x42, 0x5a],
    [0x5d, 0],
    [0x89, 0x4c],
    [0x30, 0x37],
  ];
  let refused = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...packed),
      fc.integer({ min: 0, max: 40 }),
      fc.constantFrom(...magics),
      fc.uint8Array({ maxLength: 20 }),
      (archive, cutBytes, magic, noise) => {
        const bytes = Buffer.concat([archive.subarray(0, archive.length - cutBytes), Buffer.from(magic), noise]);
        let steps = 0;
        try {
          for (let part = nextPart(bytes, 0); part !== null; part = nextPart(bytes, part.endBytes ?? bytes.length)) {
            assert.ok(++steps <= bytes.length && (part.endBytes ?? bytes.length) > part.startBytes);
          }
        } catch (error) {
          assert.ok(isError(error, "initramfs/malformed") || isError(error, "cpio/malformed"), String(error));
          refused++;
        }
      },
    ),
    { numRuns },
  );
  t.diagnostic(`${numRuns} ends, ${refused} refused`);
});
