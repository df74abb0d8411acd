import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, test } from "node:test";
import { makeFolder } from "../../support/volumes.ts";

const PACKAGED = resolve(import.meta.dirname, "../../../packaging/systemd");
const folder = makeFolder();

const noAnalyze: string | false =
  spawnSync("systemd-analyze", ["--version"]).error === undefined ? false : "systemd-analyze is not installed";

/**
 * What `systemd-analyze verify` says of a boot with these units beside the system's own.
 * @param units by the paths of their files below the folder of units
 * @param wanted the socket that is enabled
 * @param by the targets that want it
 */
function verify(
  units: Readonly<Record<string, string>>,
  wanted: string,
  by: readonly string[] = ["sockets.target"],
): string {
  const path = mkdtempSync(join(folder, "units-"));
  for (const [name, text] of Object.entries(units)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), text);
  }
  for (const target of by) {
    mkdirSync(join(path, `${target}.wants`));
    symlinkSync(join("..", wanted), join(path, `${target}.wants`, wanted));
  }
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

  test("clevis 24's socket for cards is in a cycle by itself, and in none with what we add", () => {
    const name = "clevis-luks-pkcs11-askpass.socket";
    const theirs = {
      // As clevis-systemd 24-1 has it.
      [name]: `[Unit]
Description=Clevis PKCS11 socket handler
Requires=clevis-luks-pkcs11-askpass.service
After=cryptsetup-pre.target sockets.target systemd-ask-password-wall.service

[Socket]
ListenDatagram=/run/systemd/clevis-pkcs11.sock
`,
      "clevis-luks-pkcs11-askpass.service": "[Service]\nExecStart=/bin/true\n",
    };
    const by = ["cryptsetup-pre.target", "sockets.target", "systemd-ask-password-wall.service"];
    assert.match(verify(theirs, name, by), /found ordering cycle/i);
    const added = `${name}.d/nightlatch.conf`;
    const said = verify({ ...theirs, [added]: readFileSync(join(PACKAGED, added), "utf8") }, name, by);
    assert.doesNotMatch(said, /clevis|cycle/);
  });
});

/**
 * Where systemd 252 puts each, from 0 to 10, with a tenth to spare. Those that change headers
 * stay root, with the host's own file systems: docs/decisions/071-what-the-root-units-can-bear.md.
 */
const CEILINGS: Readonly<Record<string, number>> = {
  "nightlatch-agent.service": 2.9,
  "nightlatch-called-off.service": 4.4,
  "nightlatch-clean-up.service": 4.7,
  "nightlatch-heartbeat.service": 1.9,
  "nightlatch-rotate.service": 5.0,
  "nightlatch-server.service": 1.6,
  "nightlatch-stage.service": 5.2,
  "nightlatch-tether.service": 4.4,
};

describe("exposure, as systemd itself judges it", { skip: noAnalyze }, () => {
  const exposureOf = (path: string): number => {
    const argv = ["security", "--offline=yes", "--no-pager", path];
    const { stdout, stderr } = spawnSync("systemd-analyze", argv, { encoding: "utf8" });
    return Number(/exposure level for .*: ([\d.]+)/.exec(stdout)?.[1] ?? assert.fail(stderr));
  };

  for (const name of readdirSync(PACKAGED).filter((one) => one.endsWith(".service"))) {
    test(name, () => {
      const exposure = exposureOf(join(PACKAGED, name));
      assert.ok(exposure <= (CEILINGS[name] ?? 0), `${exposure}`);
    });
  }

  test("a unit that says nothing is far above them", () => {
    const path = join(folder, "plain.service");
    writeFileSync(path, "[Service]\nExecStart=/bin/true\n");
    assert.ok(exposureOf(path) > 9);
  });

  test("those that change headers get no file systems of their own", () => {
    const needsNamespace =
      /^(?:ProtectSystem|ProtectHome|ProtectKernel(?:Tunables|Modules|Logs)|ProtectControlGroups|ProtectProc|ProcSubset|ProtectClock|Private(?:Tmp|Devices|Mounts|Network|Users|IPC)|(?:ReadWrite|ReadOnly|Inaccessible|Exec|NoExec)Paths|Bind(?:ReadOnly)?Paths|TemporaryFileSystem|DeviceAllow|DevicePolicy)=/m;
    for (const name of ["called-off", "clean-up", "rotate", "stage", "tether"]) {
      const text = readFileSync(join(PACKAGED, `nightlatch-${name}.service`), "utf8");
      assert.doesNotMatch(text, needsNamespace, name);
    }
  });
});
