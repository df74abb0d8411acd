/**
 * Volumes in files and with detached headers: the printed lines, read by systemd's own generator,
 * and answered by the agent.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { startAgent } from "../../support/agent/process.ts";
import { nightlatch, serve } from "../../support/serve.ts";
import { makeFolder, makeVolume, PASSPHRASE, runTool } from "../../support/volumes.ts";

const GENERATOR = "/usr/lib/systemd/system-generators/systemd-cryptsetup-generator";
const noGenerator = existsSync(GENERATOR) ? false : "this system has no systemd-cryptsetup-generator";

/** `attach`'s words of the unit that systemd makes of a line. */
function attachOf(folder: string, line: string): readonly string[] {
  const out = mkdtempSync(join(folder, "units-"));
  writeFileSync(join(out, "crypttab"), `${line}\n`);
  const env = { SYSTEMD_CRYPTTAB: join(out, "crypttab"), SYSTEMD_PROC_CMDLINE: "ro", SYSTEMD_IN_INITRD: "0" };
  execFileSync(GENERATOR, [out, out, out], { env, stdio: ["ignore", "ignore", "pipe"] });
  const unit = readdirSync(out).find((name) => name.startsWith("systemd-cryptsetup@"));
  assert.ok(unit !== undefined, `systemd made no unit of: ${line}`);
  const start = /^ExecStart=.*attach (.*)$/m.exec(readFileSync(join(out, unit), "utf8"))?.[1] ?? "";
  return [...start.matchAll(/'([^']*)'/g)].map(([, word = ""]) => word);
}

for (const type of ["luks1", "luks2"] as const) {
  test(`${type}: a volume in a file, and one with a detached header`, { skip: noGenerator }, async () => {
    const folder = makeFolder();
    const at = (name: string) => join(folder, name);
    const keyFile = at("passphrase");
    writeFileSync(keyFile, PASSPHRASE, { mode: 0o600 });
    const vault = makeVolume(folder, "vault.img", type);
    writeFileSync(at("data"), Buffer.alloc(32 << 20));
    const format = ["luksFormat", "-q", "--type", type, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    runTool(["cryptsetup", ...format, "--header", at("header"), at("data"), "-"], PASSPHRASE);
    if (type === "luks1") {
      const refused = await nightlatch("bind", at("header"), "tang", "http://127.0.0.1:1", "--key-file", keyFile);
      const [, convert = ""] = /after a copy of it: (cryptsetup convert .*)\.$/m.exec(refused.stderr) ?? [];
      assert.notEqual(convert, "", refused.stderr);
      execFileSync("sh", ["-c", `${convert} -q`]);
    }

    await using server = await serve();
    const state = ["--state", at("state")];
    const { invite } = (await server.json("machine", "invite", "nas")) as { invite: string };
    for (const [volume, ...words] of [[vault, invite], [at("header")]] as const) {
      const bound = await nightlatch("bind", volume, "latch", ...words, "--key-file", keyFile, ...state);
      assert.equal(bound.status, 0, bound.stderr);
    }

    const none = ["--crypttab", at("none"), "--fstab", at("none"), "--socket", at("agent.sock")];
    const print = async (...args: readonly string[]) => {
      const { status, stdout, stderr } = await nightlatch("crypttab", ...args, ...none);
      assert.equal(status, 0, stderr);
      return { line: stdout.split("\n")[1] ?? "", hint: stderr };
    };
    const inFile = await print(vault, "vault");
    assert.equal(inFile.line, `vault ${vault} ${at("agent.sock")} luks,_netdev,nofail`);
    const whole = await print(at("data"), "secret", "--header", at("header"));
    assert.equal(whole.line, `secret ${at("data")} ${at("agent.sock")} luks,header=${at("header")},_netdev,nofail`);
    const half = await print(at("header"), "secret");
    assert.equal(half.line.replace(" DATA ", ` ${at("data")} `), whole.line);
    assert.match(half.hint, /is a header alone\..*nightlatch crypttab DEV secret --header /);

    assert.deepEqual(attachOf(folder, inFile.line).slice(0, 3), ["vault", vault, at("agent.sock")]);
    const [name, source, , options = ""] = attachOf(folder, whole.line);
    assert.deepEqual([name, source], ["secret", at("data")]);
    assert.ok(options.split(",").includes(`header=${at("header")}`), options);

    writeFileSync(at("crypttab"), `${inFile.line}\n${whole.line}\n`);
    writeFileSync(at("agent.toml"), "");
    await using agent = await startAgent({ folder });
    const tryKey = (key: Buffer, ...args: readonly string[]) =>
      spawnSync("cryptsetup", ["open", "--test-passphrase", "--key-file", "-", ...args], { input: key }).status;
    assert.equal(tryKey(await agent.ask("vault"), vault), 0);
    assert.equal(tryKey(await agent.ask("secret"), "--header", at("header"), at("data")), 0);

    // What is in crypttab is found by either of its names, and there is nothing to change in it.
    const known = ["--crypttab", at("crypttab"), "--fstab", at("none"), "--socket", at("agent.sock"), "--json"];
    for (const args of [[at("header")], [at("data"), "--header", at("header")]]) {
      const found = JSON.parse((await nightlatch("crypttab", ...args, ...known)).stdout);
      assert.deepEqual([found.crypttab, found.header, found.name], [whole.line, at("header"), "secret"]);
    }

    const opened = await nightlatch("unlock", at("data"), "--header", at("header"), "--test", ...state);
    assert.match(opened.stdout, /^opens {2}latch/m);
    const alone = await nightlatch("unlock", at("header"), "secret", ...state);
    assert.equal(alone.status, 2);
    assert.match(alone.stderr, /header is a LUKS header alone: its data lies on another device \[usage\/wrong\]/);
    assert.match(alone.stderr, new RegExp(`nightlatch unlock DEV --header ${at("header")}`));
  });
}

test("a path that crypttab cannot hold is refused, and a link to it does", { skip: noGenerator }, async () => {
  const folder = makeFolder();
  mkdirSync(join(folder, "my files"));
  const image = makeVolume(join(folder, "my files"), "vault.img", "luks2");
  const refused = await nightlatch("crypttab", image, "vault");
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /no line of crypttab can name .*: " " parts it \[usage\/wrong\]/);
  symlinkSync(image, join(folder, "vault.img"));
  const { stdout } = await nightlatch("crypttab", join(folder, "vault.img"), "vault");
  assert.equal(attachOf(folder, stdout.split("\n")[1] ?? "")[1], join(folder, "vault.img"));
});
