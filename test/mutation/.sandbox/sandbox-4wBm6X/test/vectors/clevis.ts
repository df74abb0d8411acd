/**
 * Makes clevis.json: bindings by the real clevis to real tangs, with the tangs' keys, so that unit
 * tests can play the servers. Needs the packages clevis-luks, luksmeta, tang, socat and
 * cryptsetup-bin. Every run draws new keys. usage: script/node test/vectors/clevis.ts >
 * test/vectors/clevis.json && node_modules/.bin/biome format --write test/vectors
 */
// @ts-nocheck

import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startTangd, type Tangd } from "../support/tangd.ts";

const folder = mkdtempSync(join(tmpdir(), "nightlatch-vectors-"));
const plaintext = randomBytes(40).toString("base64url");

function run(argv: readonly [string, ...string[]], input = "", path = process.env["PATH"]): string {
  const [program, ...args] = argv;
  const { status, stdout, stderr } = spawnSync(program, args, {
    input,
    encoding: "utf8",
    env: { ...process.env, PATH: path },
  });
  if (status !== 0) throw new Error(`${argv.join(" ")} ended with ${status}: ${stderr}`);
  return stdout;
}

const keysOf = (tangd: Tangd): unknown[] =>
  readdirSync(tangd.keysFolder).map((name) => JSON.parse(readFileSync(join(tangd.keysFolder, name), "utf8")));

const encrypt = (pin: string, configuration: object): string =>
  run(["clevis", "encrypt", pin, JSON.stringify(configuration), "-y"], plaintext);

/**
 * As clevis before version 17: keys are named by SHA-1. The one line of its script in which what it
 * writes differed.
 */
function encryptByOldClevis(configuration: object): string {
  const script = readFileSync("/usr/bin/clevis-encrypt-tang", "utf8");
  const old = script.replace("CLEVIS_DEFAULT_THP_ALG=S256", "CLEVIS_DEFAULT_THP_ALG=S1");
  if (old === script) throw new Error("clevis-encrypt-tang is not as it was");
  const path = join(folder, "clevis-encrypt-tang");
  writeFileSync(path, old, { mode: 0o755 });
  return run([path, JSON.stringify(configuration), "-y"], plaintext);
}

/**
 * A volume in a file that `clevis luks bind` bound: what cryptsetup and luksmeta read from its
 * header, and its passphrases.
 */
function bind(type: "luks1" | "luks2", pin: string, configuration: object): object {
  const image = join(folder, type);
  writeFileSync(image, "");
  truncateSync(image, 32 << 20);
  const format = [
    "cryptsetup",
    "luksFormat",
    "-q",
    "--type",
    type,
    "--pbkdf",
    "pbkdf2",
    "--pbkdf-force-iterations",
    "1000",
  ];
  run([...format, image, "-"] as unknown as [string], "old");
  if (type === "luks1") run(["luksmeta", "init", "-f", "-d", image]);
  run(["clevis", "luks", "bind", "-y", "-d", image, "-k", "-", "-s", "1", pin, JSON.stringify(configuration)], "old");
  const passphrase = run(["clevis", "luks", "pass", "-d", image, "-s", "1"]);
  if (type === "luks2")
    return { passphrase, token: JSON.parse(run(["cryptsetup", "token", "export", "--token-id", "0", image])) };
  const uuid = "cb6e8904-81ff-40da-a84a-07ab9ab5715e";
  return { passphrase, luksmeta: run(["luksmeta", "load", "-d", image, "-s", "1", "-u", uuid]) };
}

await using p521 = await startTangd();
await using p256 = await startTangd({ exchangeCurve: "P-256" });
await using p384 = await startTangd({ exchangeCurve: "P-384" });
const servers = [p521, p256, p384];
const before = servers.map(({ url }) => ({ url }));
const [onP521, onP256, onP384] = before as [object, object, object];
const cases = [
  { name: "tang, P-521", jwe: encrypt("tang", onP521) },
  { name: "tang, P-256", jwe: encrypt("tang", onP256) },
  { name: "tang, P-384", jwe: encrypt("tang", onP384) },
  { name: "tang, key named by SHA-1", jwe: encryptByOldClevis(onP521) },
  { name: "sss, 1 of 1", jwe: encrypt("sss", { t: 1, pins: { tang: onP256 } }) },
  { name: "sss, 2 of 3", jwe: encrypt("sss", { t: 2, pins: { tang: before } }) },
  {
    name: "sss in sss, 2 of 2",
    jwe: encrypt("sss", { t: 2, pins: { tang: onP521, sss: { t: 1, pins: { tang: [onP256, onP384] } } } }),
  },
];
const luks2 = bind("luks2", "tang", onP521);
const luks1 = bind("luks1", "tang", onP521);
const advertisements = await Promise.all(servers.map(async ({ url }) => (await fetch(`${url}/adv`)).json()));
p521.rotate();
const rotated = await (await fetch(`${p521.url}/adv`)).json();
const version = (name: string) => run(["dpkg-query", "-W", "-f", `\${Version}`, name]);

const vectors = {
  madeBy: Object.fromEntries(
    ["clevis", "jose", "tang-common", "cryptsetup-bin", "luksmeta"].map((name) => [name, version(name)]),
  ),
  plaintext,
  servers: servers.map((tangd, at) => ({ url: tangd.url, advertisement: advertisements[at], keys: keysOf(tangd) })),
  rotated,
  cases,
  luks2,
  luks1,
};
process.stdout.write(`${JSON.stringify(vectors, null, 2)}\n`);
rmSync(folder, { recursive: true });
