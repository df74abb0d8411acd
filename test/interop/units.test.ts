import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, test } from "node:test";
import { makeFolder } from "./volumes.ts";

const PACKAGED = resolve(import.meta.dirname, "../../packaging/systemd");
const folder = makeFolder();

const noAnalyze: string | false =
  spawnSync("systemd-analyze", ["--version"]).error === undefined ? false : "systemd-analyze is not installed";

/** What `systemd-analyze verify` says of a boot with these units beside the system's own. */
function verify(units: Readonly<Record<string, string>>, wanted: string): string {
  const path = join(folder, wanted);
  mkdirSync(join(path, "sockets.target.wants"), { recursive: true });
  for (const [name, text] of Object.entries(units)) writeFileSync(join(path, name), text);
  symlinkSync(join("..", wanted), join(path, "sockets.target.wants", wanted));
  return spawnSync("systemd-analyze", ["--man=no", "verify", "default.target"], {
    env: { ...process.env, SYSTEMD_UNIT_PATH: `${path}:` },
    encoding: "utf8",
  }).stderr;
}

describe("unit ordering, as systemd itself judges it", { skip: noAnalyze }, () => {
  test("a hand-made key socket with default dependencies is in a cycle, which shows that cycles are found", () => {
    const socket = "[Unit]\nBefore=cryptsetup.target\n[Socket]\nListenStream=/run/key.sock\nAccept=yes\n";
    const service = "[Service]\nExecStart=/bin/true\nStandardOutput=socket\n";
    const said = verify({ "fetch-key.socket": socket, "fetch-key@.service": service }, "fetch-key.socket");
    assert.match(said, /found ordering cycle/i);
    assert.match(said, /fetch-key\.socket/);
  });

  test("our own units are in none, and hold nothing that systemd does not know", () => {
    const names = readdirSync(PACKAGED).filter((name) => /\.(?:socket|service|timer)$/.test(name));
    assert.ok(names.includes("nightlatch-agent.socket") && names.includes("nightlatch-agent.service"));
    // The programs are not installed here; which they are makes no difference to the order.
    const read = (name: string) =>
      readFileSync(join(PACKAGED, name), "utf8").replaceAll(/^(Exec\w+=).*$/gm, "$1/bin/true");
    const said = verify(Object.fromEntries(names.map((name) => [name, read(name)])), "nightlatch-agent.socket");
    assert.doesNotMatch(said, /nightlatch|cycle/);
  });
});
