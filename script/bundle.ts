/**
 * Makes the tree that the package installs: the command and the agent as one file each, the native
 * modules that they load, nothing else of node_modules. The Node runtime is not part of it.
 * usage: script/bundle [FOLDER]    (build/nightlatch where it is absent)
 *
 *   package.json            name and version
 *   lib/nightlatch.mjs      the command; its parts are loaded when a command needs them
 *   lib/agent.cjs           nightlatch agent alone: it loads agent-program.cjs with its bytecode,
 *                           agent-program.cache; see docs/decisions/020-cold-start.md
 *   lib/toml.cjs            what the agent reads an agent.toml with
 *   lib/pkcs11.cjs          what either runs to load a card's driver in:
 *                           docs/decisions/096-a-cards-driver-runs-alone.md
 *   lib/exchange.cjs        what the server runs as a thread where it releases many keys at once:
 *                           docs/decisions/149-many-exchanges-on-a-thread.md
 *   lib/koffi.node          what all of them load for calls to libc
 *   node_modules/           native packages, of this machine's architecture
 */
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { build, type Plugin } from "esbuild";
import { agentNodeFlags } from "./agent-unit.ts";

const root = resolve(import.meta.dirname, "..");
const out = resolve(process.argv[2] ?? join(root, "build/nightlatch"));
const arch = process.arch;

rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, "lib"), { recursive: true });

const common = {
  bundle: true,
  platform: "node" as const,
  target: "node24",
  absWorkingDir: root,
  logLevel: "warning" as const,
  external: ["better-sqlite3", "koffi"],
  legalComments: "inline" as const,
};

/** docs/decisions/054-agent-without-node-crypto.md */
const quickCrypto: Plugin = {
  name: "quick-crypto",
  setup: ({ onResolve }) =>
    onResolve({ filter: /^node:crypto$/ }, () => ({ path: join(root, "src/system/native/quick-crypto.ts") })),
};

/**
 * Needed by who has an agent.toml that says something: in a file of its own it costs nobody else
 * its bytecode.
 */
const tomlApart: Plugin = {
  name: "toml-apart",
  setup: ({ onResolve }) => onResolve({ filter: /^smol-toml$/ }, () => ({ path: "./toml.cjs", external: true })),
};

await build({
  ...common,
  entryPoints: { nightlatch: "src/main.ts" },
  outdir: join(out, "lib"),
  outExtension: { ".js": ".mjs" },
  chunkNames: "nightlatch-[hash]",
  format: "esm",
  splitting: true,
});
await build({
  ...common,
  entryPoints: ["src/agent-main.ts"],
  plugins: [quickCrypto, tomlApart],
  outfile: join(out, "lib/agent-program.cjs"),
  format: "cjs",
  // What runs from bytecode has nobody who answers import(): it is require() then, with the same
  // promise around it.
  supported: { "dynamic-import": false },
  define: { "import.meta.dirname": "__dirname", "import.meta.url": "__filename" },
  banner: { js: "(function (exports, require, module, __filename, __dirname) {" },
  footer: { js: "})" },
});
await build({
  ...common,
  entryPoints: { toml: "smol-toml" },
  outdir: join(out, "lib"),
  outExtension: { ".js": ".cjs" },
  format: "cjs",
});
await build({
  ...common,
  entryPoints: { pkcs11: "src/pkcs11-main.ts", exchange: "src/exchange-main.ts" },
  outdir: join(out, "lib"),
  outExtension: { ".js": ".cjs" },
  format: "cjs",
  define: { "import.meta.dirname": "__dirname", "import.meta.url": "__filename" },
});
copyFileSync(join(root, "script/agent-loader.cjs"), join(out, "lib/agent.cjs"));
// Names without a folder: the bytes would differ with it. The flags as the unit sets them: V8 takes
// no bytecode of other flags.
const makeCache = [
  "--hash-seed=1",
  ...agentNodeFlags(),
  join(root, "script/agent-cache.cjs"),
  "agent-program.cjs",
  "agent-program.cache",
];
execFileSync(process.execPath, makeCache, { cwd: join(out, "lib") });

const { name, version, license } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
writeFileSync(join(out, "package.json"), `${JSON.stringify({ name, version, license, type: "module" }, null, 2)}\n`);

const koffi = `@koromix/koffi-linux-${arch}`;
copy(`${koffi}/linux_${arch}/koffi.node`, "lib/koffi.node");
copyPackage(koffi, ["package.json", "index.js", `linux_${arch}`]);
copyPackage("koffi", ["package.json", "LICENSE.txt", "index.js", "index.cjs", "src"], /\.(?:c?js|json|txt)$/);
copyPackage("better-sqlite3", ["package.json", "LICENSE", "lib", `prebuilds/linux-${arch}.node`]);

function copyPackage(name: string, parts: readonly string[], only = /./): void {
  for (const part of parts) copy(`${name}/${part}`, `node_modules/${name}/${part}`, only);
}

/** Files whose name matches, and the folders that they are in. */
function copy(from: string, to: string, only = /./): void {
  const filter = (path: string) => only.test(path) || statSync(path).isDirectory();
  cpSync(join(root, "node_modules", from), join(out, to), { recursive: true, filter });
  if (to.endsWith(".node")) chmodSync(join(out, to), 0o644);
}
