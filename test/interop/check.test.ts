import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { describe, test } from "node:test";
import { formatClevisToken } from "../../src/formats/clevis.ts";
import { parseOrderingCycles } from "../../src/formats/unit-properties.ts";
import { fetchAdvertisement, sealToAdvertisement } from "../../src/pins/tang.ts";
import { nodeSystem } from "../../src/system/node.ts";
import { COMMAND, makeDoor } from "./agent-process.ts";
import { noTangd, startTangd } from "./tangd.ts";
import { addSlot, addToken, makeFolder, makeVolume } from "./volumes.ts";

const KEY = "YSBwYXNzcGhyYXNlIGFzIGxvbmcgYXMgdGhlIHJlYWwgb25lcyBhcmU";
const folder = makeFolder();
const at = (name: string) => join(folder, name);

interface Outcome {
  readonly status: number;
  readonly text: string;
  readonly findings: readonly { readonly code: string; readonly severity: string; readonly subject: string }[];
}

async function check(...more: readonly string[]): Promise<Outcome> {
  const options = ["--crypttab", at("crypttab"), "--fstab", at("fstab"), "--config", at("agent.toml")];
  const args = ["check", ...options, "--socket", at("agent.sock"), "--state", at("state"), ...more];
  const run = (extra: readonly string[]) =>
    new Promise<{ status: number; stdout: string }>((done) => {
      execFile(COMMAND, [...args, ...extra], (error, stdout) => done({ status: Number(error?.code ?? 0), stdout }));
    });
  const { status, stdout } = await run(["--json"]);
  return { status, text: (await run([])).stdout, findings: JSON.parse(stdout).findings };
}

const codes = ({ findings }: Outcome, severity: string) =>
  findings.filter((finding) => finding.severity === severity).map(({ code, subject }) => `${code} ${subject}`);

test("no volumes, nothing wrong", async () => {
  writeFileSync(at("crypttab"), "# nothing\n");
  const outcome = await check();
  assert.equal(outcome.status, 0);
  assert.match(outcome.text, /Nothing is wrong \(0 volumes\)\.\n$/);
});

test("each binding is tried, and what keeps a volume shut is told", { skip: noTangd }, async () => {
  await using tangd = await startTangd();
  await using door = await makeDoor(tangd.url);
  const advertisement = await fetchAdvertisement(nodeSystem, tangd.url, { deadlineMs: 20_000 });
  const bound = (name: string, url: string, keyslot = 1) => {
    const image = makeVolume(folder, name, "luks2");
    addSlot(image, KEY);
    const jwe = sealToAdvertisement(nodeSystem, url, advertisement, Buffer.from(KEY));
    addToken(image, formatClevisToken(jwe, keyslot));
    return image;
  };
  const key = at("agent.sock");
  const lines = [
    `good ${bound("good.img", tangd.url)} ${key} luks,_netdev,nofail`,
    `early ${bound("early.img", door.url)} ${key} luks`,
    `wrong ${bound("wrong.img", tangd.url, 0)} ${key} luks,_netdev,nofail`,
    `bare ${makeVolume(folder, "bare.img", "luks2")} ${key} luks,_netdev,nofail`,
    `absent ${at("absent.img")} ${key} luks,_netdev,nofail`,
    `command /dev/null ${key} luks,_netdev,nofail`,
  ];
  writeFileSync(at("crypttab"), `${lines.join("\n")}\n`);
  writeFileSync(at("fstab"), "/dev/mapper/good /srv ext4 defaults 0 2\n");
  writeFileSync(at("agent.toml"), `[volume.command]\nexec = ["${at("no-program")}"]\n`);
  mkdirSync(at("state"));
  chmodSync(at("state"), 0o755);
  await door.shut();
  const outcome = await check();
  assert.equal(outcome.status, 3);
  assert.deepEqual(codes(outcome, "error").sort(), [
    `agent/no-program ${at("agent.toml")}`,
    "agent/socket-inactive nightlatch-agent.socket",
    "binding/does-not-open wrong",
    "binding/unreachable early",
    "fstab/no-netdev /srv",
    `state/permissions ${at("state")}`,
    "volume/no-binding bare",
    "volume/no-netdev early",
    "volume/unreadable absent",
    "volume/unreadable command",
  ]);
  assert.match(outcome.text, /error: early: .* cannot be reached \(ECONNREFUSED\) \[binding\/unreachable\]/);
  assert.match(outcome.text, /\n10 errors, 0 warnings \(6 volumes\)\.\n$/);
  assert.ok(!outcome.text.includes(KEY));

  const offline = await check("--offline");
  assert.ok(!offline.findings.some(({ code }) => code.startsWith("binding/")));
});

test("the line of crypttab for a volume", () => {
  const image = makeVolume(folder, "line.img", "luks2");
  const run = (...args: string[]) => spawnSync(COMMAND, ["crypttab", image, ...args], { encoding: "utf8" });
  const uuid = spawnSync("cryptsetup", ["luksUUID", image], { encoding: "utf8" }).stdout.trim();
  assert.equal(run("backup").stdout, `backup UUID=${uuid} /run/nightlatch/agent.sock luks,_netdev,nofail\n`);
  assert.equal(run("--local").stdout, `data UUID=${uuid} /run/nightlatch/agent.sock luks\n`);
  const refused = run("two words");
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /"two words" cannot be the name of a volume \[usage\/wrong\]/);
});

describe("unit ordering, by systemd's own judgement", { skip: noAnalyze() }, () => {
  /** What `systemd-analyze verify` says with these units beside the system's own. */
  function verify(units: Readonly<Record<string, string>>, wanted: string): string {
    const path = at(`units-${basename(wanted)}`);
    mkdirSync(join(path, "sockets.target.wants"), { recursive: true });
    for (const [name, text] of Object.entries(units)) writeFileSync(join(path, name), text);
    symlinkSync(join("..", wanted), join(path, "sockets.target.wants", wanted));
    return spawnSync("systemd-analyze", ["--man=no", "verify", "default.target"], {
      env: { ...process.env, SYSTEMD_UNIT_PATH: `${path}:` },
      encoding: "utf8",
    }).stderr;
  }

  test("a hand-made key socket with default dependencies is in a cycle", () => {
    const socket = "[Unit]\nBefore=cryptsetup.target\n[Socket]\nListenStream=/run/key.sock\nAccept=yes\n";
    const service = "[Service]\nExecStart=/bin/true\nStandardOutput=socket\n";
    const said = verify({ "fetch-key.socket": socket, "fetch-key@.service": service }, "fetch-key.socket");
    const [cycle, ...others] = parseOrderingCycles(said);
    assert.deepEqual(others, []);
    assert.ok(cycle?.deleted != null, said);
    assert.ok(cycle.units.includes("fetch-key.socket") && cycle.units.includes("sysinit.target"), said);
  });

  test("our own units are in none", () => {
    const read = (name: string) =>
      readFileSync(resolve(import.meta.dirname, "../../packaging/systemd", name), "utf8").replace(
        /^ExecStart=.*$/m,
        "ExecStart=/bin/true",
      );
    const names = ["nightlatch-agent.socket", "nightlatch-agent.service"];
    const said = verify(Object.fromEntries(names.map((name) => [name, read(name)])), "nightlatch-agent.socket");
    assert.doesNotMatch(said, /nightlatch|cycle/);
  });
});

function noAnalyze(): string | false {
  return spawnSync("systemd-analyze", ["--version"]).error === undefined ? false : "systemd-analyze is not installed";
}
