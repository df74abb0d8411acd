/** What the package installs: every file, its mode, and where it comes from. */
// @ts-nocheck

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { buildCompletion } from "./completion.ts";
import { buildManual } from "./manual.ts";

export const ROOT = join(import.meta.dirname, "..");

export interface PackagedFile {
  /** Where it is installed, without the leading slash. */
  readonly path: string;
  readonly mode: number;
  /** A file to copy, or the contents. */
  readonly from: string | Buffer;
}

export interface Build {
  readonly version: string;
  readonly architecture: string;
  readonly epochSeconds: number;
  /** The folder that script/bundle filled. */
  readonly bundle: string;
}

/** Debian's architectures and Node's. */
const NODE_ARCHITECTURES: Readonly<Record<string, string>> = { amd64: "x64", arm64: "arm64" };

/** Sorted by path. @throws Error where there is no Node for the architecture */
export async function contents(build: Build): Promise<PackagedFile[]> {
  const arch = NODE_ARCHITECTURES[build.architecture];
  if (arch === undefined) throw new Error(`there is no Node for ${build.architecture}`);
  const modules = join(ROOT, "node_modules");
  const manual = await buildManual(build.version, build.epochSeconds);
  const completion = await buildCompletion();
  const packaging = (name: string) => join(ROOT, "packaging", name);
  const files: PackagedFile[] = [
    { path: "usr/bin/nightlatch", mode: 0o755, from: packaging("nightlatch") },
    { path: "usr/lib/nightlatch/node", mode: 0o755, from: join(modules, `node-linux-${arch}/bin/node`) },
    ...folder(build.bundle, "usr/lib/nightlatch"),
    ...folder(packaging("systemd"), "usr/lib/systemd/system"),
    ...INITRAMFS.map(([path, name, mode]) => ({ path, mode, from: packaging(`initramfs/${name}`) })),
    { path: "etc/nightlatch/agent.toml", mode: 0o600, from: packaging("agent.toml") },
    { path: "usr/share/man/man1/nightlatch.1.gz", mode: 0o644, from: compress(manual) },
    { path: "usr/share/bash-completion/completions/nightlatch", mode: 0o644, from: Buffer.from(completion) },
    { path: "usr/share/lintian/overrides/nightlatch", mode: 0o644, from: packaging("debian/lintian-overrides") },
    { path: `${DOC}/copyright`, mode: 0o644, from: packaging("debian/copyright") },
    {
      path: `${DOC}/node-LICENSE.gz`,
      mode: 0o644,
      from: compress(readFileSync(join(modules, `node-linux-${arch}/LICENSE`), "utf8")),
    },
    { path: `${DOC}/changelog.gz`, mode: 0o644, from: compress(changelog(build)) },
  ];
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

const DOC = "usr/share/doc/nightlatch";

/** What goes into an initramfs beside clevis, and who puts it there. */
const INITRAMFS: readonly (readonly [path: string, name: string, mode: number])[] = [
  ["usr/share/nightlatch/initramfs/curlrc", "curlrc", 0o644],
  ["usr/share/nightlatch/initramfs/wait", "wait", 0o755],
  ["usr/share/nightlatch/initramfs/network", "network", 0o755],
  ["usr/share/initramfs-tools/hooks/nightlatch", "initramfs-tools/hook", 0o755],
  ["usr/share/initramfs-tools/scripts/local-top/nightlatch", "initramfs-tools/local-top", 0o755],
  ["usr/share/initramfs-tools/scripts/local-bottom/nightlatch", "initramfs-tools/local-bottom", 0o755],
  ["usr/lib/dracut/modules.d/61nightlatch/module-setup.sh", "dracut/module-setup.sh", 0o755],
  ["usr/lib/dracut/modules.d/61nightlatch/network-end.sh", "dracut/network-end.sh", 0o755],
  ["usr/lib/dracut/modules.d/61nightlatch/clevis.conf", "dracut/clevis.conf", 0o644],
  ["usr/lib/dracut/modules.d/61nightlatch/nightlatch-wait.service", "dracut/nightlatch-wait.service", 0o644],
  ["etc/initramfs/post-update.d/nightlatch", "post-update", 0o755],
  // Behind what makes the initramfs, before the boot loaders.
  ["etc/kernel/postinst.d/zy-nightlatch", "kernel-installed", 0o755],
];

/** Every file below a folder. */
function folder(source: string, target: string): PackagedFile[] {
  return readdirSync(source, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const from = join(entry.parentPath, entry.name);
      return { path: `${target}${from.slice(source.length)}`, mode: 0o644, from };
    });
}

const compress = (text: string): Buffer => gzipSync(text, { level: 9 });

function changelog({ version, epochSeconds }: Build): string {
  const date = new Date(epochSeconds * 1000).toUTCString().replace("GMT", "+0000");
  return `nightlatch (${version}) unstable; urgency=medium\n\n  * See docs/ in the source for what changed.\n\n -- ${MAINTAINER}  ${date}\n`;
}

const MAINTAINER = "The Nightlatch authors <maintainers@nightlatch.invalid>";
