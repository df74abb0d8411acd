/**
 * Two data volumes of a machine with our package, bound to a key server on the host: one that
 * systemd opens when the network is there (`_netdev`), one that it wants open before
 * sysinit.target. Everything is what a user does; every step is a real boot.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { bootImage } from "./harness/image.ts";
import { startKeyServer } from "./harness/key-server.ts";
import { makeLuksVolume } from "./harness/luks-volume.ts";
import { BOOT_DEADLINE_MS, type Machine, startMachine } from "./harness/machine.ts";
import { judged, tellVersions } from "./harness/moving.ts";
import { builtPackage } from "./harness/package.ts";
import { openByKeyFile } from "./harness/plain.ts";
import { dataGuest, moves, type Suite } from "./harness/recipe.ts";
import { onlyInFull, whyNoGuest } from "./harness/requirements.ts";

const DATA = { uuid: "0d7c9b1e-53a1-4d0e-9b59-7a1d1b6d8e01", passphrase: "correct horse data" };
const LOCAL = { uuid: "0d7c9b1e-53a1-4d0e-9b59-7a1d1b6d8e02", passphrase: "correct horse local" };

const CRYPTTAB = `data UUID=${DATA.uuid} /run/nightlatch/agent.sock luks,_netdev,nofail
local UUID=${LOCAL.uuid} /run/nightlatch/agent.sock luks
`;
/** An emulated boot takes longer than systemd's 90 s. */
const PATIENT = "x-systemd.device-timeout=10min";
const FSTAB = `/dev/mapper/data /srv ext4 _netdev,nofail,${PATIENT} 0 2
/dev/mapper/local /opt ext4 ${PATIENT} 0 2
`;

for (const suite of ["bookworm", "trixie", "forky"] as const satisfies readonly Suite[]) {
  const skip = moves(suite) ? onlyInFull() : whyNoGuest();
  test(`${suite}: two volumes open at boot with nobody typing`, { skip }, (t) =>
    judged(
      t,
      suite,
      () => openAtBoot(t, suite),
      () => openByKeyFile(suite),
    ),
  );
}

async function openAtBoot(t: TestContext, suite: Suite): Promise<void> {
  await using scene = await prepare(suite);
  const { machine, server } = scene;
  await tellVersions(t, suite, (script) => machine.must(script));

  await machine.reboot();
  await waitForMounts(machine);
  assert.equal(await machine.must("cat /srv/name /opt/name"), "data\nlocal\n");
  assert.doesNotMatch(machine.console.transcript(), /passphrase for disk/i, "nobody was asked");
  await assertOrdering(machine);
  await assertConfined(machine);
  assert.match(await machine.must("nightlatch status"), /opens by itself[\s\S]*opens by itself/);
  await assertChecked(machine);
  if (moves(suite)) await assertOpenedByClevis(machine);
  if (suite !== "bookworm") return;

  await server.machine("lock", "nas");
  await machine.reboot();
  await assertClosed(machine);
  assert.match(await machine.must("nightlatch status /dev/vdb"), /asks for the passphrase: no binding opens it now/);

  await server.machine("unlock", "nas");
  await rebootByBindings(machine);
  await waitForMounts(machine);

  // By hand, without a passphrase.
  await machine.must("systemctl stop srv.mount systemd-cryptsetup@data.service");
  const byHand = "nightlatch unlock /dev/vdb again && mount /dev/mapper/again /mnt && cat /mnt/name";
  assert.match(await machine.must(byHand), /^Opened \/dev\/vdb as \/dev\/mapper\/again: [^\n]*\ndata\n$/);
  await machine.must("umount /mnt && cryptsetup close again");

  await server.machine("revoke", "nas");
  await machine.reboot();
  await assertClosed(machine);
  assert.equal((await machine.run("nightlatch unlock /dev/vdb again")).status, 1);
  const open =
    "cryptsetup open --key-file - /dev/vdb by-passphrase && mount /dev/mapper/by-passphrase /mnt && cat /mnt/name";
  assert.equal(await machine.must(open, undefined, DATA.passphrase), "data\n");
}

test("a volume that the boot cannot do without asks for its passphrase when the server refuses", {
  skip: onlyInFull(),
}, async () => {
  await using scene = await prepare("trixie");
  const { machine, server } = scene;
  await machine.must("sed -i /data/d /etc/crypttab /etc/fstab");
  await server.machine("lock", "nas-local");
  await machine.restart(() => machine.run("systemctl reboot"));
  await machine.console.waitFor(/passphrase for disk.*local/i, BOOT_DEADLINE_MS);
  machine.console.type(`${LOCAL.passphrase}\n`);
  await machine.login();
  assert.equal(await machine.must("cat /opt/name"), "local\n");
});

interface Scene extends AsyncDisposable {
  readonly machine: Machine;
  readonly server: Awaited<ReturnType<typeof startKeyServer>>;
}

/** A machine that has booted once, with both volumes bound and named in crypttab and fstab. */
async function prepare(suite: Suite): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-test-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const disk = (name: string) => ({ file: join(folder, `${name}.img`), format: "raw" as const, serial: name });
  const disks = [disk("data"), disk("local")] as const;
  await makeLuksVolume(disks[0].file, "data", 32, { ...DATA, files: { name: "data\n" } });
  await makeLuksVolume(disks[1].file, "local", 32, { ...LOCAL, files: { name: "local\n" } });

  const server = stack.use(await startKeyServer());
  const image = await bootImage(dataGuest(suite), { deb: await builtPackage() });
  const machine = stack.use(await startMachine({ image, disks, forwards: [server.forward] }));
  await machine.login();

  // The first as a person does it, at the console; the second as a script does it.
  machine.console.type("root\n");
  await machine.console.waitFor(/root@guest:~# /, BOOT_DEADLINE_MS);
  machine.console.type(`nightlatch bind /dev/vdb latch ${await server.invite("nas")}\n`);
  await machine.console.waitFor(/Passphrase of \/dev\/vdb: /, BOOT_DEADLINE_MS);
  machine.console.type(`${DATA.passphrase}\n`);
  await machine.console.waitFor(/Bound \/dev\/vdb: http:\/\/10\.0\.2\.100:7654\S*, keyslot 1\b/, BOOT_DEADLINE_MS);
  // It is another machine to the server, so that one can be refused without the other.
  const local = `nightlatch bind /dev/vdc latch ${await server.invite("nas-local")} --state /root/nas-local --key-file -`;
  await machine.must(local, BOOT_DEADLINE_MS, LOCAL.passphrase);

  await machine.must("cat > /etc/crypttab", undefined, CRYPTTAB);
  await machine.must("cat >> /etc/fstab", undefined, FSTAB);
  await machine.must(`echo 'deadline = "10m"' >> /etc/nightlatch/agent.toml`);
  const moved = stack.move();
  return { machine, server, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

/**
 * Where there is no kexec: the bindings are seen to open every volume, and then it is an ordinary
 * reboot in which nobody is asked.
 */
async function rebootByBindings(machine: Machine): Promise<void> {
  const from = machine.console.transcript().length;
  const refused = await machine.run("nightlatch reboot");
  assert.equal(
    refused.status,
    1,
    "the local volume opens by itself, and need not: its boot does not wait for the network",
  );
  assert.match(refused.stderr, /local .* without _netdev/);
  await machine.must(`sed -i '/^local/s/luks$/luks,_netdev,nofail/' /etc/crypttab`);
  await machine.must(`sed -i 's/opt ext4 /opt ext4 _netdev,nofail,/' /etc/fstab`);
  const said = await machine.must("nightlatch reboot --dry-run --json");
  const { via, volumes, passedOver } = JSON.parse(said) as {
    via: string;
    volumes: readonly { name: string; proved: boolean }[];
    passedOver: readonly { code: string }[];
  };
  assert.equal(via, "bindings");
  assert.deepEqual(volumes.map(({ name, proved }) => [name, proved]).sort(), [
    ["data", true],
    ["local", true],
  ]);
  assert.deepEqual(
    passedOver.map(({ code }) => code),
    ["kexec/unavailable"],
  );
  await machine.restart(() => machine.run("nightlatch reboot"));
  assert.doesNotMatch(machine.console.transcript().slice(from), /passphrase for disk/i, "nobody was asked");
}

async function waitForMounts(machine: Machine): Promise<void> {
  await machine.must("until systemctl is-active --quiet srv.mount opt.mount; do sleep 1; done", BOOT_DEADLINE_MS);
}

/** The login prompt came, without the one volume and with the other. */
async function assertClosed(machine: Machine): Promise<void> {
  await machine.must("until systemctl is-active --quiet opt.mount; do sleep 1; done", BOOT_DEADLINE_MS);
  assert.equal(await machine.must("cat /opt/name"), "local\n");
  // Refused, not merely late: systemd has come to asking for the passphrase.
  await machine.must("until grep -qs 'disk data' /run/systemd/ask-password/ask.*; do sleep 1; done", BOOT_DEADLINE_MS);
  assert.equal((await machine.run("ls /dev/mapper/data")).status, 2);
  assert.equal((await machine.run("mountpoint --quiet /srv")).status, 32);
}

/**
 * systemd broke no cycle, neither in this boot nor when it looks at the units; and the local volume
 * was open before sysinit.
 */
async function assertOrdering(machine: Machine): Promise<void> {
  assert.doesNotMatch(await machine.must("journalctl -b --no-pager"), /ordering cycle/i);
  const units = "default.target nightlatch-agent.socket nightlatch-agent.service nightlatch-server.service";
  const verified = await machine.run(`systemd-analyze verify --man=no ${units}`);
  assert.deepEqual(verified, { status: 0, stdout: "", stderr: "" });
  const activeAt = async (unit: string) =>
    Number(await machine.must(`systemctl show --value -p ActiveEnterTimestampMonotonic '${unit}'`));
  const [opened, sysinit] = [await activeAt("systemd-cryptsetup@local.service"), await activeAt("sysinit.target")];
  assert.ok(opened > 0 && opened < sysinit, `opened at ${opened} µs, sysinit.target at ${sysinit} µs`);
}

/**
 * The local volume's key comes over the network: here that goes well, for networkd is early, and
 * check says that it need not.
 */
async function assertChecked(machine: Machine): Promise<void> {
  const { status, stdout } = await machine.run("nightlatch check --json");
  const { findings } = JSON.parse(stdout) as { findings: { code: string; severity: string; subject: string }[] };
  const errors = findings.filter(({ severity }) => severity === "error");
  assert.deepEqual(errors.map(({ code, subject }) => `${subject}: ${code}`).sort(), [
    "local: check/mount-no-netdev",
    "local: check/no-netdev",
  ]);
  assert.equal(status, 1);
}

/** The release's own clevis gets the passphrase of what we bound, from the same server. */
async function assertOpenedByClevis(machine: Machine): Promise<void> {
  const tried = "cryptsetup open --test-passphrase --key-slot 1 --key-file - /dev/vdb";
  await machine.must(`set -o pipefail; clevis luks pass -d /dev/vdb -s 1 | ${tried}`);
}

/**
 * What the units promise about the process that handles keys, as systemd has it and as the kernel
 * has it.
 */
async function assertConfined(machine: Machine): Promise<void> {
  const modes = "700 root directory\n600 root socket\n";
  assert.equal(await machine.must("stat -c '%a %U %F' /run/nightlatch /run/nightlatch/agent.sock"), modes);

  const wanted = unitSettings("nightlatch-agent.service").filter(([name]) => COMPARABLE.test(name));
  assert.ok(wanted.length > 12);
  const names = wanted.map(([name]) => `-p ${name}`).join(" ");
  const shown = await machine.must(`systemctl show ${names} nightlatch-agent.service`);
  assert.deepEqual(shown.trim().split("\n").sort(), wanted.map(([name, value]) => `${name}=${value}`).sort());

  // Anew and in one go: one that nobody has asked for a while ends by itself. systemd's own child,
  // "(node)", is not yet confined.
  const status = await machine.must(`set -e; systemctl restart nightlatch-agent.service
cd /proc/$(systemctl show --value -p MainPID nightlatch-agent.service)
while grep -q '^(' comm; do sleep 0.1; done
cat status limits /sys/fs/cgroup/system.slice/nightlatch-agent.service/memory.swap.max`);
  assert.match(status, /^CapBnd:\t0000000000000006$/m); // CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
  assert.match(status, /^NoNewPrivs:\t1$/m);
  assert.match(status, /^Seccomp:\t2$/m);
  assert.match(status, /^Max core file size +0 +0 /m);
  assert.match(status, /\n0\n$/, "nothing of it is swapped");
}

/** Settings whose value systemctl prints as the unit has it. */
const COMPARABLE =
  /^(LimitCORE|MemorySwapMax|KeyringMode|NoNewPrivileges|Protect\w+|LockPersonality|RestrictRealtime|RestrictSUIDSGID|UMask)$/;

function unitSettings(name: string): (readonly [name: string, value: string])[] {
  const text = readFileSync(join(import.meta.dirname, "../../packaging/systemd", name), "utf8");
  return [...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, key = "", value = ""]) => [key, value] as const);
}
