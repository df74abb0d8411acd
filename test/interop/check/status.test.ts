/**
 * What `status` and `check` name of a volume that something is the matter with. Each remedy is
 * applied.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as check } from "../../../src/cli/commands/check.ts";
import { command as status } from "../../../src/cli/commands/status.ts";
import { isError } from "../../../src/core/errors.ts";
import { readVolumeHeader } from "../../../src/luks/header/header.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { makeState } from "../../support/luks-change.ts";
import { runCommand } from "../../support/terminal.ts";
import { makeFolder, makeVolume, PASSPHRASE, patch, runTool } from "../../support/volumes.ts";

const folder = makeFolder();
const state = makeState(folder);
const passphrase = join(folder, "passphrase");
writeFileSync(passphrase, PASSPHRASE);
const crypttab = join(folder, "crypttab");

const statusOf = (image: string) =>
  runCommand(status, [image, "--offline", "--crypttab", crypttab, "--state", state], nodeSystem);

async function checked(image: string) {
  writeFileSync(crypttab, `v ${image} none luks\n`);
  const args = ["--crypttab", crypttab, "--fstab", join(folder, "none"), "--config", join(folder, "none")];
  const { result } = await runCommand(check, [...args, "--state", state], nodeSystem);
  return result["findings"] as { code: string; text: string; remedy: string }[];
}

test("a slip in agent.toml hides no volume: it is told, and passed over as the agent does", async () => {
  const image = makeVolume(folder, "slip.img", "luks2");
  writeFileSync(crypttab, `v ${image} none luks\n`);
  const config = join(folder, "agent.toml");
  for (const text of ["deadline = \n", 'no-such-setting = "x"\n', "deadline = 7\n", "\xff"]) {
    writeFileSync(config, text, "latin1");
    const shown = await runCommand(
      status,
      ["--offline", "--crypttab", crypttab, "--config", config, "--state", state],
      nodeSystem,
    );
    assert.equal(shown.status, 0, text);
    assert.match(shown.lines.join("\n"), /agent\.toml: .*\[agent\/bad-config\]\n.*passes over[\s\S]*keyslots used/);
    assert.equal((shown.result["config"] as { code: string }).code, "agent/bad-config");
    assert.equal((shown.result["volumes"] as unknown[]).length, 1);
  }
});

test("a reencryption under way is named by status, check and bind, until it is done", async () => {
  const image = makeVolume(folder, "reencrypts.img", "luks2", [], 40);
  runTool(["cryptsetup", "reencrypt", "-q", "--init-only", "--key-file", passphrase, image]);
  assert.match((await statusOf(image)).lines.join("\n"), /warning {4}a reencryption is under way \("online-reencrypt/);
  const finding = (await checked(image)).find(({ code }) => code === "check/header");
  assert.match(String(finding?.text), /^a reencryption is under way/);
  const args = [image, "tang", "http://127.0.0.1:1", "--key-file", passphrase, "--state", state];
  await assert.rejects(runCommand(bind, args, nodeSystem), (error) => {
    assert.ok(isError(error, "luks/requirements"));
    assert.match(`${error.meaning} ${error.remedy}`, /A reencryption is under way.*cryptsetup reencrypt --resume-only/);
    return true;
  });
  const words =
    /(cryptsetup reencrypt --resume-only \S+)/.exec(String(finding?.remedy))?.[1]?.split(" ") ?? assert.fail();
  // A file is no block device, whose use cryptsetup would find out by itself.
  const cheap = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--force-offline-reencrypt"];
  runTool([...words, "-q", "--key-file", passphrase, ...cheap]);
  assert.doesNotMatch((await statusOf(image)).lines.join("\n"), /reencryption/);
});

test("a LUKS1 header that cryptsetup has marked for a reencryption is told as that, not as none", async () => {
  const image = makeVolume(folder, "marked.img", "luks1");
  patch(image, [[4, Buffer.from([0xde, 0xad])]]);
  const { lines } = await statusOf(image);
  assert.match(
    lines.join("\n"),
    /a reencryption of this LUKS1 volume is under way \[luks\/requirements\]\n.*cryptsetup reencrypt/,
  );
});

test("cryptsetup itself writes that mark", (t) => {
  const image = makeVolume(folder, "marking.img", "luks1", [], 64);
  const argv = ["reencrypt", "-q", "--pbkdf-force-iterations", "1000", "--key-file", passphrase, image];
  const { stderr } = spawnSync("cryptsetup", argv, { cwd: folder, encoding: "utf8" });
  if (!/device-mapper/.test(stderr)) return t.skip("there is a device mapper here: it went on to its end");
  assert.equal(readFileSync(image).subarray(0, 6).toString("latin1"), "LUKS\xde\xad");
});

test("a damaged copy of a header is named, and its remedy mends it", async () => {
  for (const [which, offset] of [
    ["primary", 4096],
    ["secondary", 16384 + 4096],
  ] as const) {
    const image = makeVolume(folder, `${which}.img`, "luks2");
    patch(image, [[offset, Buffer.from("garbage")]]);
    const finding = (await checked(image)).find(({ code }) => code === "check/header");
    assert.equal(finding?.text, `the ${which} copy of its header is damaged`);
    const [program = "", ...args] = finding.remedy.split(" ");
    runTool([program, ...args, "-q"]);
    const header = await readVolumeHeader(nodeSystem, image);
    assert.equal(header.version === 2 ? header.damagedCopy : "", null);
  }
});

test("what is no LUKS volume is no error, and says what becomes of it", async () => {
  const image = join(folder, "no-luks.img");
  writeFileSync(image, Buffer.alloc(1 << 20, 7));
  const lines = [
    `swap ${image} /dev/urandom swap,cipher=aes-xts-plain64`,
    `hidden ${image} none tcrypt-hidden`,
    `old ${image} ${passphrase} luks,plain`,
    `by-hand ${image} none plain,noauto`,
  ];
  writeFileSync(crypttab, `${lines.join("\n")}\n`);
  const shown = await runCommand(status, ["--offline", "--crypttab", crypttab, "--state", state], nodeSystem);
  assert.equal(shown.status, 0, shown.lines.join("\n"));
  const volumes = shown.result["volumes"] as { kind: string; nextBoot: { will: string } }[];
  assert.deepEqual(
    volumes.map(({ kind, nextBoot }) => [kind, nextBoot.will]),
    [
      ["plain", "open"],
      ["tcrypt", "ask"],
      ["plain", "unknown"],
      ["plain", "closed"],
    ],
  );
});

test("where a key is, and what starts the volume, are read from the files", async () => {
  const image = makeVolume(folder, "starts.img", "luks2");
  const fstab = join(folder, "fstab");
  const cases: readonly (readonly [line: string, mount: string, will: string, text: RegExp])[] = [
    ["/key:LABEL=stick luks", "", "unknown", /\/key on \/dev\/disk\/by-label\/stick/],
    [`${passphrase} luks,noauto`, "", "closed", /noauto/],
    [`${passphrase} luks,noauto`, "/dev/mapper/v /srv ext4 defaults 0 2", "unknown", /holds its key at the next boot/],
    [`${passphrase} luks,noauto`, "/dev/mapper/v /srv ext4 x-systemd.automount 0 2", "closed", /\/srv is looked at/],
    ["word luks,keyscript=decrypt_keyctl", "", "unknown", /keyscript/],
    ["/dev/null luks", "", "unknown", /\/dev\/null/],
    ["none luks # schl\xfcssel", "", "ask", /passphrase/],
  ];
  for (const [line, mount, will, text] of cases) {
    writeFileSync(crypttab, `v ${image} ${line}\n`, "latin1");
    writeFileSync(fstab, `${mount}\n`);
    const args = ["--offline", "--crypttab", crypttab, "--fstab", fstab, "--state", state];
    const { result } = await runCommand(status, args, nodeSystem);
    const [volume] = result["volumes"] as { nextBoot: { will: string; text: string } }[];
    assert.equal(volume?.nextBoot.will, will, line);
    assert.match(volume?.nextBoot.text ?? "", text);
    const found = await runCommand(check, args.slice(1), nodeSystem);
    const errors = (found.result["findings"] as { severity: string }[]).filter(({ severity }) => severity === "error");
    assert.deepEqual(errors, [], line);
  }
});
