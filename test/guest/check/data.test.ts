/**
 * A machine with a data volume, broken in one way after another under a systemd that runs: what
 * `nightlatch check` prints is applied to the letter, the finding is gone, nothing worse has come,
 * and the machine boots and opens its volume with all of that in its files.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Finding, FindingCode } from "../../../src/check/judge/finding.ts";
import { bootImage } from "../harness/image.ts";
import { type KeyServer, startKeyServer } from "../harness/key-server.ts";
import { makeLuksVolume } from "../harness/luks-volume.ts";
import { BOOT_DEADLINE_MS, type Machine, startMachine } from "../harness/machine.ts";
import { builtPackage } from "../harness/package.ts";
import { dataGuest } from "../harness/recipe.ts";
import { stepsOf } from "../harness/remedy.ts";
import { onlyInFull } from "../harness/requirements.ts";

const DATA = { uuid: "0d7c9b1e-53a1-4d0e-9b59-7a1d1b6d8e01", passphrase: "correct horse data" };
const SOCKET = "nightlatch-agent.socket";
const LINE = `data UUID=${DATA.uuid} /run/nightlatch/agent.sock luks,_netdev,nofail`;
const MOUNT = "/dev/mapper/data /srv ext4 noatime,_netdev,nofail,x-systemd.device-timeout=630s 0 2";

interface Scene {
  readonly machine: Machine;
  readonly server: KeyServer;
}

interface Break {
  readonly code: FindingCode;
  readonly what?: string;
  readonly how: string | ((scene: Scene) => Promise<unknown>);
  /** Steps of a remedy that are a person's: these words are in each. */
  readonly person?: { readonly says: RegExp; readonly does: string | ((scene: Scene) => Promise<unknown>) };
}

const inCrypttab = (from: string, to: string) => `sed -i 's#${from}#${to}#' /etc/crypttab`;
const inFstab = (from: string, to: string) => `sed -i 's#${from}#${to}#' /etc/fstab`;

/** A user's own responder, as people make them from curl: its unit is what a text editor gives. */
const OWN_UNITS = `cat >/etc/systemd/system/own.socket <<'END'
[Socket]
ListenStream=/run/own.sock
SocketMode=0600
Accept=yes
[Install]
WantedBy=sockets.target
END
cat >/etc/systemd/system/own@.service <<'END'
[Service]
ExecStart=/bin/echo key
StandardOutput=socket
END
systemctl daemon-reload && systemctl enable --now own.socket`;
const NO_OWN_UNITS = `systemctl disable --now own.socket; rm -rf /etc/systemd/system/own*; systemctl daemon-reload`;

const BREAKS: readonly Break[] = [
  { code: "check/exposed", how: "chmod 666 /etc/crypttab" },
  { code: "check/identity", how: "chmod 644 /var/lib/nightlatch/machine/identity.key" },
  { code: "check/no-netdev", how: inCrypttab(",_netdev", "") },
  { code: "check/no-nofail", how: inCrypttab(",nofail", "") },
  { code: "check/no-nofail", what: "by fail", how: inCrypttab(",nofail", ",nofail,fail") },
  { code: "check/mount-no-netdev", how: inFstab("noatime,_netdev,", "noatime,") },
  { code: "check/mount-no-nofail", how: inFstab(",nofail", "") },
  { code: "check/mount-timeout", how: inFstab(",x-systemd.device-timeout=630s", "") },
  { code: "check/token-device", how: inCrypttab("_netdev", "tpm2-device=auto,_netdev") },
  { code: "check/key-cut", how: inCrypttab("_netdev", "keyfile-size=64,_netdev") },
  { code: "check/key-slot", how: inCrypttab("_netdev", "key-slot=7,_netdev") },
  {
    code: "check/headless",
    how: inCrypttab("_netdev", "headless=1,_netdev"),
    person: { says: /^keep it only if/, does: "true" },
  },
  { code: "check/no-key", how: inCrypttab("/run/nightlatch/agent.sock", "/etc/gone.key") },
  { code: "check/not-asked", how: inCrypttab("/run/nightlatch/agent.sock", "none") },
  {
    code: "check/not-asked",
    what: "as a local volume",
    how: `${inCrypttab("/run/nightlatch/agent.sock luks,_netdev,nofail", "none luks")}; ${inFstab("noatime,_netdev,nofail", "noatime")}`,
  },
  { code: "check/agent-unit", what: "disabled", how: `systemctl disable --now ${SOCKET}` },
  { code: "check/agent-unit", what: "masked", how: `systemctl mask --now ${SOCKET}` },
  { code: "check/no-socket", how: "rm /run/nightlatch/agent.sock" },
  {
    code: "check/socket-mode",
    how: "chmod 666 /run/nightlatch/agent.sock",
    person: { says: /^see its drop-ins/, does: "true" },
  },
  {
    code: "check/unit-late",
    how: `${OWN_UNITS}; sed -i 's#/run/nightlatch/agent.sock luks,_netdev,nofail#/run/own.sock luks#' /etc/crypttab; ${inFstab("noatime,_netdev,nofail", "noatime")}`,
  },
  {
    code: "check/config",
    how: `${NO_OWN_UNITS}; printf '%s\\n' '${LINE}' >/etc/crypttab; ${inFstab("^/dev/mapper/data.*", MOUNT)}; echo 'deadline = nonsense' >>/etc/nightlatch/agent.toml`,
    person: { says: /^correct it;/, does: "sed -i /nonsense/d /etc/nightlatch/agent.toml" },
  },
  {
    code: "check/no-binding",
    how: ({ machine }) =>
      machine.must("nightlatch unbind /dev/vdb latch --key-file -", BOOT_DEADLINE_MS, DATA.passphrase),
  },
  {
    code: "check/binding",
    what: "locked",
    how: ({ server }) => server.machine("lock", "nas"),
    person: {
      says: /^on the server, .*nightlatch machine unlock NAME/,
      does: ({ server }) => server.machine("unlock", "nas"),
    },
  },
  {
    code: "check/nobody-starts",
    how: `sed -i '\\#/srv#d' /etc/fstab; systemctl disable remote-cryptsetup.target`,
  },
];

/** What other programs of ours are at right after a boot is waited for. */
async function check(machine: Machine): Promise<Finding[]> {
  for (;;) {
    const findings = await checkNow(machine);
    if (!findings.some(({ remedy }) => remedy === "nightlatch check")) return findings;
  }
}

async function checkNow(machine: Machine): Promise<Finding[]> {
  const { status, stdout, stderr } = await machine.run("nightlatch check --json", BOOT_DEADLINE_MS);
  assert.ok(status === 0 || status === 1, stderr);
  return (JSON.parse(stdout) as { findings: Finding[] }).findings;
}

async function perform(scene: Scene, act: Break["how"]): Promise<void> {
  if (typeof act === "string") await scene.machine.must(act, BOOT_DEADLINE_MS);
  else await act(scene);
}

async function apply(scene: Scene, remedy: string, person: Break["person"]): Promise<void> {
  for (const line of remedy.split("\n")) {
    if (person?.says.test(line) === true) {
      await perform(scene, person.does);
      continue;
    }
    for (const step of stepsOf(line)) {
      if ("file" in step) {
        await scene.machine.must(`sed -i '${step.line}c\\'"$(cat)" ${step.file}`, BOOT_DEADLINE_MS, step.text);
      } else if (/^nightlatch (?:bind|unbind) /.test(step.command)) {
        await scene.machine.must(`${step.command} --key-file -`, BOOT_DEADLINE_MS, DATA.passphrase);
      } else await scene.machine.must(step.command, BOOT_DEADLINE_MS);
    }
  }
}

async function tryRemedy(scene: Scene, { code, how, person }: Break): Promise<void> {
  const { machine } = scene;
  await perform(scene, how);
  const first = await check(machine);
  const finding = first.find((one) => one.code === code);
  assert.ok(finding !== undefined, `${code} is not found: ${JSON.stringify(first)}`);
  let left: readonly Finding[] = [finding, ...first.filter((one) => one !== finding)];
  for (let round = 0; left.length > 0; round++) {
    assert.ok(round < 4, `check does not come to an end: ${JSON.stringify(left)}`);
    await apply(scene, left[0]?.remedy ?? "", person);
    const now = await check(machine);
    const worse = now.filter((one) => one.severity === "error" && !left.some((old) => old.code === one.code));
    assert.deepEqual(worse, [], `what ${left[0]?.code} brings`);
    assert.ok(
      !now.some((one) => one.code === left[0]?.code),
      `${left[0]?.code} is still there after: ${left[0]?.remedy}`,
    );
    left = now;
  }
}

test("each remedy on a machine that was broken for it, and a boot with all of them", {
  skip: onlyInFull(),
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-test-"));
  try {
    const disk = { file: join(folder, "data.img"), format: "raw" as const, serial: "data" };
    await makeLuksVolume(disk.file, "data", 32, { ...DATA, files: { name: "data\n" } });
    await using server = await startKeyServer();
    const image = await bootImage(dataGuest("bookworm"), { deb: await builtPackage() });
    await using machine = await startMachine({ image, disks: [disk], forwards: [server.forward] });
    await machine.login();
    const bind = `nightlatch bind /dev/vdb latch ${await server.invite("nas")} --key-file -`;
    await machine.must(bind, BOOT_DEADLINE_MS, DATA.passphrase);
    await machine.must(`echo 'deadline = "10m"' >>/etc/nightlatch/agent.toml; echo '${LINE}' >/etc/crypttab`);
    await machine.must(
      `echo '${MOUNT}' >>/etc/fstab; systemctl enable remote-cryptsetup.target; systemctl daemon-reload`,
    );
    assert.deepEqual(await check(machine), []);

    const isOpen = "until [ -e /dev/mapper/data ]; do sleep 1; done";
    for (const one of BREAKS) {
      await t.test([one.code, one.what].filter(Boolean).join(", "), () => tryRemedy({ machine, server }, one));
      if (one.code !== "check/no-socket") continue;
      await machine.reboot();
      await machine.must(isOpen, BOOT_DEADLINE_MS);
    }
    await machine.reboot();
    await machine.must(isOpen, BOOT_DEADLINE_MS);
    assert.deepEqual(await check(machine), []);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
