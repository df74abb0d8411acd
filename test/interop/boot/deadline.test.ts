/**
 * What the package puts beside clevis in an initramfs, with the real clevis and curl: a silent
 * server is given up, and the console says why there is no key. /run and the console are the test's
 * own.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { startRelay } from "../../support/relay.ts";
import { noTangd, startTangd } from "../../support/tangd.ts";
import { runTool } from "../../support/volumes.ts";

const PACKAGED = resolve(import.meta.dirname, "../../../packaging/initramfs");
const skip =
  process.getuid?.() !== 0
    ? "mounts need root"
    : spawnSync("clevis", ["decrypt", "tang", "--help"]).error === undefined
      ? noTangd
      : "clevis is not installed";

/** A /run of its own, somebody who is asked, and a file in the place of the console. */
const ENTER = `
set -eu
mount -t tmpfs run /run
mkdir -p /run/systemd/ask-password
touch /run/systemd/ask-password/ask.1 /run/console
mount --bind /run/console /dev/console
export CURL_HOME="$1"
`;
const inRoom = (script: string) => ["--mount", "bash", "-c", `${ENTER}${script}`, "bash"];

test("a silent server: clevis gives up by itself, and says why", { skip }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-deadline-"));
  try {
    await using tangd = await startTangd();
    await using relay = await startRelay(Number(new URL(tangd.url).port));
    const url = `http://127.0.0.1:${relay.port}`;
    copyFileSync(join(PACKAGED, "curlrc"), join(folder, ".curlrc"));
    const adv = await (await fetch(`${url}/adv`)).text();
    writeFileSync(join(folder, "adv"), adv);
    const config = JSON.stringify({ url, adv: join(folder, "adv") });
    const sealed = String(runTool(["clevis", "encrypt", "tang", config, "-y"], "the key"));
    const decrypt = `clevis decrypt || echo "gave up"; cat /run/nightlatch-curl`;
    assert.match(await room(folder, decrypt, sealed), /^the key/, "it opens while the server answers");
    relay.isSilent = true;
    const said = await room(folder, decrypt, sealed);
    assert.match(said, /^gave up\ncurl: \(28\) /m);
    assert.ok(relay.held > 0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** What curl says, and what a person reads of it. */
const SAID: readonly (readonly [said: string, told: RegExp])[] = [
  ["curl: (28) Operation timed out after 10001 milliseconds", /: a key server does not answer\. The passphrase/],
  [
    "curl: (22) The requested URL returned error: 403",
    /: a key server refuses, because this machine is locked there\./,
  ],
  ["curl: (6) Could not resolve host: \u001b[2Jkeys", /: the name of a key server cannot be resolved\./],
  ["something else \u001b[2J", /: a key server cannot be asked\./],
];

for (const [index, [said, told]] of SAID.entries()) {
  test(`the console, ${index + 1}: ${JSON.stringify(said.slice(0, 10))}`, { skip }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "nightlatch-wait-"));
    try {
      mkdirSync(join(folder, "run"));
      const script = `cat > /run/nightlatch-curl; sh ${PACKAGED}/wait & tail -f /run/console`;
      const line = await firstLine(folder, script, `${said}\n`);
      assert.match(line, told);
      assert.ok(!line.includes("\u001b"), "nothing of what curl says");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

test("the hooks are plain shell, and leave an initramfs without clevis alone", { skip }, () => {
  const local = readFileSync(join(PACKAGED, "initramfs-tools/local-top"), "utf8");
  assert.match(local, /\[ -x \/usr\/libexec\/nightlatch-wait \] \|\| exit 0/);
  for (const name of ["local-top", "local-bottom"]) {
    const { status, stdout } = spawnSync("dash", [join(PACKAGED, "initramfs-tools", name)], { encoding: "utf8" });
    assert.deepEqual([status, stdout], [0, ""], name);
  }
});

function room(folder: string, script: string, input: string): Promise<string> {
  return new Promise((done, failed) => {
    const child = spawn("unshare", [...inRoom(script), folder], { stdio: ["pipe", "pipe", "inherit"] });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    child.once("error", failed).once("close", () => done(text));
    child.stdin.end(input);
  });
}

/** The first line on the console that is not empty; then everything is ended. */
function firstLine(folder: string, script: string, input: string): Promise<string> {
  return new Promise((done, failed) => {
    const argv = ["--pid", "--fork", "--kill-child", ...inRoom(script), folder];
    const child = spawn("unshare", argv, { stdio: ["pipe", "pipe", "inherit"] });
    child.once("error", failed).once("close", () => failed(new Error("it ended and said nothing")));
    createInterface(child.stdout).on("line", (line) => {
      if (line === "") return;
      child.kill("SIGKILL");
      done(line);
    });
    child.stdin.end(input);
  });
}
