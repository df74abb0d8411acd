// @ts-nocheck
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import type { Generator, InitramfsFacts } from "../../../../src/boot/initramfs/inspect.ts";
import { neededVolumes } from "../../../../src/boot/initramfs/needed.ts";
import { buildOverlay } from "../../../../src/boot/overlay/overlay.ts";
import { isError } from "../../../../src/core/errors.ts";
import { type CpioEntry, CpioReader, S_IFDIR } from "../../../../src/formats/initramfs/cpio.ts";
import type { InitramfsVolume } from "../../../../src/formats/initramfs/crypttab.ts";

const UUID = "11111111-2222-3333-4444-555555555555";
const KEY = Buffer.alloc(64, 0x41);
const volume = (overrides: Partial<InitramfsVolume> = {}): InitramfsVolume => ({
  name: "root",
  source: `UUID=${UUID}`,
  key: "none",
  options: ["luks", "discard"],
  ...overrides,
});
const facts = (crypttab: string | null, ownCmdline = ""): InitramfsFacts => ({
  generator: null,
  opensLuks: true,
  crypttab,
  ownCmdline,
  has: () => false,
  leads: () => false,
  content: (name) => (name === "scripts/init-bottom/ORDER" ? '/scripts/init-bottom/udev "$@"\n' : null),
  names: new Set(),
  releases: [],
});

function unpack(archive: Buffer): Map<string, { mode: number; text: string }> {
  const files = new Map<string, { mode: number; text: string }>();
  const take = (entry: CpioEntry, content: Buffer | null) =>
    files.set(entry.name, { mode: entry.mode & 0o7777, text: content?.toString("latin1") ?? "" });
  new CpioReader((entry) => (entry.mode & 0o170000) !== S_IFDIR, take).push(archive);
  return files;
}

const overlay = (generator: Generator, volumes: [InitramfsVolume, Buffer | null][], later: string[] = []) =>
  unpack(
    buildOverlay({
      generator,
      facts: facts(null),
      volumes: volumes.map(([one, key]) => ({ volume: one, key })),
      later: later.map((name) => ({ name, key: KEY })),
    }),
  );

test("initramfs-tools: a keyscript that gives the key once and then asks as before", () => {
  const files = overlay("initramfs-tools", [
    [volume(), KEY],
    [volume({ name: "swap", key: "/dev/urandom", options: ["swap"] }), null],
  ]);
  assert.equal(
    files.get("cryptroot/crypttab")?.text,
    `root UUID=${UUID} none luks,discard,tries=4,keyscript=/nightlatch/0.sh\nswap UUID=${UUID} /dev/urandom swap\n`,
  );
  assert.equal(files.get("cryptroot/crypttab")?.mode, 0o644);
  assert.equal(files.get("nightlatch")?.mode, 0o700);
  assert.deepEqual(files.get("nightlatch/0.key"), { mode: 0o400, text: KEY.toString("latin1") });
  const script = files.get("nightlatch/0.sh");
  assert.equal(script?.mode, 0o755);
  assert.match(String(script?.text), /\nexec \/lib\/cryptsetup\/askpass "Please unlock disk \$CRYPTTAB_NAME: "\n$/);
  assert.equal(spawnSync("sh", ["-n"], { input: script?.text }).status, 0);
  assert.ok(!files.has("scripts/init-bottom/ORDER"));
});

test("initramfs-tools: what a line says of another key goes, a keyscript of before is what is asked next", () => {
  const options = ["luks", "keyscript=decrypt_keyctl", "key-slot=1", "keyfile-size=9", "tries=0"];
  const files = overlay("initramfs-tools", [[volume({ key: "it's\\040mine", options }), KEY]]);
  assert.equal(
    files.get("cryptroot/crypttab")?.text,
    `root UUID=${UUID} none luks,tries=0,keyscript=/nightlatch/0.sh\n`,
  );
  const script = String(files.get("nightlatch/0.sh")?.text);
  assert.match(script, /CRYPTTAB_KEY="\$\(printf %b 'it'\\''s\\040mine'\)"/);
  assert.match(script, /CRYPTTAB_OPTION_keyscript="\$\(printf %b '\/lib\/cryptsetup\/scripts\/decrypt_keyctl'\)"/);
  assert.equal(spawnSync("sh", ["-n"], { input: script }).status, 0);
});

test("initramfs-tools: keys for later are handed over by a script behind those that were there", () => {
  const files = overlay("initramfs-tools", [[volume(), KEY]], ["data", "home"]);
  assert.equal(
    files.get("scripts/init-bottom/ORDER")?.text,
    '/scripts/init-bottom/udev "$@"\n/nightlatch/hand-over "$@"\n',
  );
  assert.deepEqual(files.get("nightlatch/later/data.key"), { mode: 0o400, text: KEY.toString("latin1") });
  assert.equal(files.get("nightlatch/later")?.mode, 0o700);
  assert.equal(spawnSync("sh", ["-n"], { input: files.get("nightlatch/hand-over")?.text }).status, 0);
});

test("systemd in the initramfs: a path that is erased after use, options of another key dropped", () => {
  const tokens = ["tpm2-device=auto", "tpm2-pcrs=7", "fido2-device=auto", "pkcs11-uri=pkcs11:x"];
  const options = ["discard", "keyfile-size=5", "key-slot=2", "headless=1", "x-initrd.attach", ...tokens];
  const files = overlay("dracut-systemd", [[volume({ options }), KEY]], ["data"]);
  assert.deepEqual(files.get("etc/crypttab"), {
    mode: 0o600,
    text: `root UUID=${UUID} /nightlatch/0.key discard,x-initrd.attach,tries=4,keyfile-erase\n`,
  });
  assert.match(
    String(files.get("etc/systemd/system/nightlatch-hand-over.service")?.text),
    /^ExecStart=\/nightlatch\/hand-over$/m,
  );
  assert.match(
    String(files.get("etc/systemd/system/initrd.target.d/nightlatch.conf")?.text),
    /^Wants=nightlatch-hand-over.service$/m,
  );
  assert.ok(!overlay("dracut-systemd", [[volume(), KEY]]).has("etc/systemd/system/nightlatch-hand-over.service"));
});

test("dracut without systemd: a key path, and a hook that erases it", () => {
  const files = overlay("dracut", [[volume(), KEY]]);
  assert.equal(files.get("etc/crypttab")?.text, `root UUID=${UUID} /nightlatch/0.key luks,discard\n`);
  const hook = String(files.get("usr/lib/dracut/hooks/pre-pivot/50-nightlatch.sh")?.text);
  assert.match(hook, /1<>"\/nightlatch\/0\.key"; rm -f "\/nightlatch\/0\.key" \|\| :$/m);
  assert.doesNotMatch(hook, /exit/);
});

test("mkinitcpio: the encrypt hook's file, or a refusal where it could not be used", () => {
  const files = overlay("mkinitcpio", [[volume(), KEY]]);
  assert.deepEqual(files.get("crypto_keyfile.bin"), { mode: 0o400, text: KEY.toString("latin1") });
  assert.throws(
    () => overlay("mkinitcpio", [[volume({ key: "rootfs:/k" }), KEY]]),
    (error) => isError(error, "boot/unsupported"),
  );
  assert.throws(
    () => overlay("mkinitcpio", [[volume(), KEY]], ["data"]),
    (error) => isError(error, "boot/unsupported"),
  );
});

test("cryptopts= overrules the crypttab inside, and leaves the command line that the overlay boots with", () => {
  const inside = facts(`root UUID=${UUID} none luks\n`);
  assert.deepEqual(neededVolumes("initramfs-tools", inside, "ro quiet"), {
    volumes: [volume({ options: ["luks"] })],
    cmdline: "ro quiet",
  });
  assert.deepEqual(neededVolumes("initramfs-tools", inside, "ro cryptopts=source=/dev/sda1,target=x,lvm=y quiet"), {
    volumes: [{ name: "x", source: "/dev/sda1", key: "none", options: ["lvm=y"] }],
    cmdline: "ro quiet",
  });
  assert.deepEqual(neededVolumes("initramfs-tools", inside, "cryptopts= ro"), { volumes: [], cmdline: "ro" });
});

test("rd.luks.*: a list of volumes, under the names that crypttab or the command line gives them", () => {
  const inside = facts(`root UUID=${UUID} none luks\nother UUID=9 none\nmanual UUID=8 none noauto\n`);
  const names = (generator: Generator, cmdline: string, from = inside) =>
    neededVolumes(generator, from, cmdline).volumes.map(({ name }) => name);
  assert.deepEqual(names("dracut-systemd", "ro"), ["root", "other"]);
  assert.deepEqual(names("dracut-systemd", `rd.luks.uuid=luks-${UUID}`), ["root"]);
  assert.deepEqual(names("dracut-systemd", "rd.luks.uuid=ABCD rd.luks.name=abce=named"), ["luks-ABCD", "named"]);
  assert.deepEqual(names("dracut-systemd", "rd.luks=0"), []);
  assert.deepEqual(names("dracut", `luks.uuid=${UUID}`), ["root", "other"]);
  assert.deepEqual(names("dracut", "", facts(null, `rd.luks.uuid=luks-${UUID}`)), [`luks-${UUID}`]);
  const [named] = neededVolumes(
    "dracut-systemd",
    facts(null),
    `rd.luks.uuid=${UUID} rd.luks.options=${UUID}=discard,x`,
  ).volumes;
  assert.deepEqual(named, { name: `luks-${UUID}`, source: `UUID=${UUID}`, key: "none", options: ["discard", "x"] });
});

test("mkinitcpio's cryptdevice= and cryptkey=", () => {
  const { volumes } = neededVolumes(
    "mkinitcpio",
    facts(null),
    `cryptdevice=UUID=${UUID}:root:allow-discards cryptkey=rootfs:/k`,
  );
  assert.deepEqual(volumes, [{ name: "root", source: `UUID=${UUID}`, key: "rootfs:/k", options: ["allow-discards"] }]);
  assert.deepEqual(neededVolumes("mkinitcpio", facts(null), "ro").volumes, []);
});
