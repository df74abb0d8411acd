/** Makes the Debian package. Called by script/package, which says what it promises. */
// @ts-nocheck

import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { contents, type PackagedFile, ROOT } from "./package-contents.ts";
import { must } from "./program.ts";

interface Target {
  readonly version: string;
  /** Debian's name of the architecture. */
  readonly architecture: string;
  readonly epochSeconds: number;
}

async function main(): Promise<void> {
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
  const architecture = (await must(["dpkg", "--print-architecture"])).trim();
  const target = { version, architecture, epochSeconds: Number(process.env["SOURCE_DATE_EPOCH"]) };
  const scratch = mkdtempSync(join(tmpdir(), "nightlatch-package-"));
  try {
    const output = resolve(process.argv[2] ?? join(ROOT, `build/nightlatch_${version}_${architecture}.deb`));
    await build(target, scratch, output);
    process.stdout.write(`${output}\n`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function build(target: Target, scratch: string, output: string): Promise<void> {
  const tree = join(scratch, "tree");
  const bundle = join(scratch, "bundle");
  await must([join(ROOT, "script/bundle"), bundle], 120_000);
  const files = await contents({ ...target, bundle });
  for (const file of files) place(tree, file);
  const elf = files.filter(({ path }) => /(\.node|\/node)$/.test(path)).map(({ path }) => join(tree, path));
  await strip(elf);
  const depends = await libraryDependencies(elf, scratch, target.architecture);
  control(tree, files, target, depends);
  mkdirSync(dirname(output), { recursive: true });
  const partial = `${output}.partial`;
  const compression = ["-Zzstd", "-z10", "--threads-max=2"];
  const time = ["env", `SOURCE_DATE_EPOCH=${target.epochSeconds}`] as const;
  await must([...time, "dpkg-deb", "--root-owner-group", ...compression, "--build", tree, partial], 600_000);
  await must(["mv", partial, output]);
}

function place(tree: string, file: PackagedFile): void {
  const target = join(tree, file.path);
  mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
  if (typeof file.from === "string") copyFileSync(file.from, target);
  else writeFileSync(target, file.from);
  chmodSync(target, file.mode);
}

/**
 * Symbols for debuggers only: a fifth of what is installed. What the loader and native modules need
 * stays.
 */
async function strip(elf: readonly string[]): Promise<void> {
  for (const file of elf) await must(["strip", "--strip-unneeded", "--remove-section=.comment", file]);
}

/** e.g. "libc6 (>= 2.28), libstdc++6 (>= 9)": what the ELF files were linked against. */
async function libraryDependencies(elf: readonly string[], scratch: string, architecture: string): Promise<string> {
  mkdirSync(join(scratch, "debian"));
  writeFileSync(
    join(scratch, "debian/control"),
    `Source: nightlatch\n\nPackage: nightlatch\nArchitecture: ${architecture}\n`,
  );
  const said = await must(["env", "-C", scratch, "dpkg-shlibdeps", "-O", ...elf.map((file) => `-e${file}`)]);
  const depends = said.match(/^shlibs:Depends=(.+)$/m)?.[1];
  if (depends === undefined) throw new Error(`dpkg-shlibdeps found no dependency: ${said}`);
  return depends;
}

function control(tree: string, files: readonly PackagedFile[], target: Target, libraries: string): void {
  const folder = join(tree, "DEBIAN");
  mkdirSync(folder, { mode: 0o755 });
  const sizeKiB = files.reduce((sum, file) => sum + Math.ceil(statSync(join(tree, file.path)).size / 1024), 0);
  const values = {
    VERSION: target.version,
    ARCHITECTURE: target.architecture,
    LIBRARIES: libraries,
    INSTALLED_SIZE: String(sizeKiB),
  };
  const fill = (text: string) => text.replaceAll(/@([A-Z_]+)@/g, (_, name: keyof typeof values) => values[name]);
  const write = (name: string, text: string, mode = 0o644) => {
    writeFileSync(join(folder, name), text);
    chmodSync(join(folder, name), mode);
  };
  const packaging = (name: string) => readFileSync(join(ROOT, "packaging/debian", name), "utf8");
  write("control", fill(packaging("control")));
  write("templates", packaging("templates"));
  for (const script of ["postinst", "prerm", "postrm"]) write(script, packaging(script), 0o755);
  const conffiles = files.filter(({ path }) => path.startsWith("etc/")).map(({ path }) => `/${path}\n`);
  if (conffiles.length > 0) write("conffiles", conffiles.join(""));
  const sums = files.map(
    ({ path }) =>
      `${createHash("md5")
        .update(readFileSync(join(tree, path)))
        .digest("hex")}  ${path}\n`,
  );
  write("md5sums", sums.join(""));
}

await main();
