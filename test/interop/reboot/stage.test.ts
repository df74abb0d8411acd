import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { before, test } from "node:test";
import { DEFAULT_ENTRY } from "../../../src/boot/entry/entries.ts";
import { isError } from "../../../src/core/errors.ts";
import { Secret } from "../../../src/core/secret.ts";
import { CpioReader, writeCpio } from "../../../src/formats/initramfs/cpio.ts";
import { opensSlot } from "../../../src/luks/cryptsetup/keyslots.ts";
import { cleanUp, listDisposables } from "../../../src/reboot/clean-up.ts";
import { planReboot } from "../../../src/reboot/plan/plan.ts";
import { findAuthorities, KeyRing, type KeySources } from "../../../src/reboot/stage/authority.ts";
import { KEXEC } from "../../../src/reboot/stage/carrier-kexec.ts";
import { stageBoot } from "../../../src/reboot/stage/stage.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { walkInitramfs } from "../../support/initramfs-parts.ts";
import {
  BOOT,
  device,
  file,
  folder,
  initramfs,
  inside,
  makeDevices,
  NAMES,
  PASSPHRASE,
  noCryptsetup as skip,
  slots,
  type World,
  type WorldOptions,
  world,
} from "../../support/reboot/world.ts";

before(async () => {
  if (skip === false) await makeDevices();
});

const nothing = async () => null;
const nobody = { recover: nothing, ask: null };
const passphrase = (text = PASSPHRASE) => Secret.copy(Buffer.from(text));
const context = { stateFolder: "/var/lib/nightlatch", bootId: BOOT, expires: 4_000_000_000 };
const stage = async ({ system }: World) => {
  const plan = await planReboot(system, DEFAULT_ENTRY);
  return stageBoot(
    system,
    await KEXEC.prepare(system, plan),
    plan,
    await findAuthorities(system, plan.volumes, new KeyRing([passphrase()]), nobody, "proved"),
    context,
    () => {},
  );
};

test("the plan: what the initramfs opens, then what the system opens", { skip }, async () => {
  const random = `tmp ${device("data")} /dev/urandom swap\n`;
  const rest = `gone UUID=0-0 none luks,nofail\nlater ${device("data")} none luks,noauto\n`;
  const { system } = world({
    crypttab: `cryptroot ${device("root")} none luks\ndata ${device("data")} none luks\n${random}${rest}`,
  });
  const plan = await planReboot(system, DEFAULT_ENTRY);
  assert.deepEqual(
    plan.volumes.map(({ name, found, stage, opening }) => [name, found.device, stage, opening.kind]),
    [
      ["cryptroot", device("root"), "initramfs", "disposable"],
      ["cryptswap", device("swap"), "initramfs", "disposable"],
      ["data", device("data"), "system", "disposable"],
      ["tmp", device("data"), "system", "itself"],
    ],
  );
  assert.equal(plan.cmdline, "root=/dev/mapper/cryptroot ro");
  assert.equal(plan.generator, "initramfs-tools");
});

test("the plan is refused where the boot would wait for a person, or find no root", { skip }, async () => {
  const keyFile = join(folder, "key-file");
  const refused: [WorldOptions, string, RegExp][] = [
    [{ crypttab: `data ${device("data")} /no/such/file luks\n` }, "reboot/blocked", /data .* would ask for its key/],
    [{ crypttab: `data ${device("data")} ${keyFile} luks\n` }, "reboot/blocked", /would ask for its key/],
    [{ crypttab: "data UUID=0-0 none luks\n" }, "reboot/blocked", /its device UUID=0-0 is not there/],
    [{ crypttab: `data ${device("data")} none luks,header=/h\n` }, "reboot/blocked", /header in a file of its own/],
    [
      { initrd: initramfs(`cryptswap ${device("swap")} none luks\n`) },
      "reboot/blocked",
      /does not open .*, on which the root lies/,
    ],
    [
      { initrd: writeCpio([file("conf/initramfs.conf"), file("scripts/functions")]) },
      "boot/no-cryptsetup",
      /holds no cryptsetup/,
    ],
    [{ initrd: writeCpio([file("init")]) }, "boot/unsupported", /no generator that is known/],
  ];
  writeFileSync(keyFile, "not the key");
  for (const [options, code, message] of refused) {
    await assert.rejects(
      planReboot(world(options).system, DEFAULT_ENTRY),
      (error) => isError(error) && error.code === code && message.test(error.message),
      code,
    );
  }
  writeFileSync(keyFile, PASSPHRASE);
  const plan = await planReboot(world({ crypttab: `data ${device("data")} ${keyFile} luks\n` }).system, DEFAULT_ENTRY);
  assert.deepEqual(plan.volumes.at(-1)?.opening, { kind: "itself", why: `key file ${keyFile}`, proved: true });
});

test("a key file counts where it opens the volume, all of it or a part, and is there at the next boot", {
  skip,
}, async () => {
  const keyFile = join(folder, "long-key-file");
  writeFileSync(keyFile, `12345${PASSPHRASE}6789`);
  const opening = async (options: WorldOptions) => {
    const { volumes } = await planReboot(world(options).system, DEFAULT_ENTRY);
    return volumes.at(-1)?.opening;
  };
  const line = (cut: string) => ({ crypttab: `data ${device("data")} ${keyFile} luks,${cut}\n` });
  const part = `keyfile-offset=5,keyfile-size=${PASSPHRASE.length}`;
  assert.deepEqual(await opening(line(part)), { kind: "itself", why: `key file ${keyFile}`, proved: true });
  await assert.rejects(opening(line("keyfile-offset=5")), (error) => isError(error, "reboot/blocked"));
  const onTmpfs = (argv: readonly string[]) => (argv.includes("FSTYPE") ? "tmpfs\n" : undefined);
  assert.deepEqual(await opening({ ...line(part), programs: onTmpfs }), {
    kind: "itself",
    why: `key file ${keyFile}, if it is made anew at each boot: it lies in memory`,
    proved: false,
  });
  // crypttab(5): where no key is named, a file of the volume's name is taken.
  const usual = "/etc/cryptsetup-keys.d/data.key";
  assert.deepEqual(await opening({ files: { [usual]: PASSPHRASE } }), {
    kind: "itself",
    why: `key file ${usual}`,
    proved: true,
  });
  await assert.rejects(opening({ files: { [usual]: "wrong" } }), (error) => isError(error, "reboot/blocked"));
  // What lies in /run goes with this boot; the next one has the key that it is given there.
  const inRun = "/run/cryptsetup-keys.d/data.key";
  const left = { files: { [inRun]: "of this boot" }, programs: onTmpfs };
  assert.deepEqual(await opening(left), { kind: "disposable" });
});

test("whoever answers on a socket of the volume's name is asked for its key", { skip }, async () => {
  const { system, at } = world();
  const path = "/run/cryptsetup-keys.d/data.key";
  mkdirSync(dirname(at(path)), { recursive: true });
  const server = createServer();
  await new Promise<void>((done) => server.listen(at(path), done));
  const { volumes } = await planReboot(system, DEFAULT_ENTRY);
  assert.deepEqual(volumes.at(-1)?.opening, { kind: "socket", path });
  await new Promise((done) => server.close(done));
});

test("one passphrase is asked once, a wrong one three times, and nothing is changed by it", { skip }, async () => {
  const { system } = world();
  const { volumes } = await planReboot(system, DEFAULT_ENTRY);
  const asked: string[] = [];
  const ask = (text: string) => async (volume: { name: string }) => {
    asked.push(volume.name);
    return passphrase(text);
  };
  const find = (keys: KeyRing, sources: KeySources) => findAuthorities(system, volumes, keys, sources, "proved");
  const keys = new KeyRing();
  const found = await find(keys, { recover: nothing, ask: ask(PASSPHRASE) });
  assert.deepEqual(asked, ["cryptroot"]);
  assert.equal(found.size, 3);
  assert.equal(keys.given.length, 1);
  asked.length = 0;
  const bound = async () => ({ passphrase: passphrase(), slot: 0 });
  const recovering = new KeyRing();
  assert.equal((await find(recovering, { recover: bound, ask: null })).size, 3);
  assert.equal(recovering.recovered.length, 3);
  await assert.rejects(find(new KeyRing(), { recover: nothing, ask: ask("wrong") }), (error) =>
    isError(error, "reboot/wrong-key"),
  );
  assert.deepEqual(asked, ["cryptroot", "cryptroot", "cryptroot"]);
});

test("staged: the loaded initramfs is the old one, then keys that open; taken back, all is as before", {
  skip,
}, async () => {
  const one = world();
  const before = await slots();
  await stage(one);
  const [loaded] = one.loaded;
  assert.ok(loaded !== undefined);
  const parts = walkInitramfs(loaded);
  assert.equal(parts.length, 2);
  assert.deepEqual(loaded.subarray(0, parts[0]?.endBytes), initramfs(inside()));
  const keys = new Map<string, Buffer>();
  new CpioReader(
    ({ name }) => name.endsWith(".key"),
    ({ name }, content) => content !== null && keys.set(name, content),
  ).push(loaded.subarray(parts[1]?.startBytes));
  assert.deepEqual([...keys.keys()], ["nightlatch/0.key", "nightlatch/1.key", "nightlatch/later/data.key"]);
  const staged = await listDisposables(one.system, context.stateFolder);
  assert.deepEqual(
    staged.map((found) => found.device),
    NAMES.map(device),
  );
  for (const [index, key] of [...keys.values()].entries()) {
    const found = staged[index];
    assert.ok(found !== undefined);
    assert.equal(await opensSlot(nodeSystem, found, found.record.slot, Secret.copy(key)), true);
  }
  const inMemory = "/run/nightlatch-reboot/kexec";
  assert.deepEqual(
    one.changes.filter(([program]) => ["mount", "kexec", "shred", "umount"].includes(String(program))),
    [
      ["mount", "-t", "ramfs", "-o", "mode=0700", "nightlatch", inMemory],
      [
        "kexec",
        "-s",
        "-l",
        `${inMemory}/kernel`,
        `--initrd=${inMemory}/initrd`,
        "--command-line=root=/dev/mapper/cryptroot ro",
      ],
      ["shred", "--iterations=0", "--zero", `${inMemory}/initrd`],
      ["umount", inMemory],
    ],
  );
  const fresh = await cleanUp(one.system, context.stateFolder, false);
  assert.deepEqual(fresh.removed, []);
  const { removed, failures } = await cleanUp(one.system, context.stateFolder, true);
  assert.deepEqual([removed.length, failures], [3, []]);
  assert.deepEqual(await slots(), before);
  assert.equal((await one.system.readFile("/sys/kernel/kexec_loaded", 9)).toString(), "0\n");
});

test("a step that fails, whichever it is, leaves nothing behind", { skip }, async () => {
  const before = await slots();
  const total = world();
  await stage(total);
  const steps = total.changes.length;
  await cleanUp(total.system, context.stateFolder, true);
  assert.ok(steps >= 10, String(steps));
  for (let failAt = 1; failAt <= steps; failAt++) {
    const one = world({ failAt });
    await assert.rejects(stage(one), (error) => isError(error, "file/io"), `step ${failAt}`);
    assert.deepEqual(await slots(), before, `step ${failAt}`);
    assert.deepEqual(await listDisposables(one.system, context.stateFolder), [], `step ${failAt}`);
    assert.equal((await one.system.readFile("/sys/kernel/kexec_loaded", 9)).toString(), "0\n");
    await cleanUp(one.system, context.stateFolder, true);
    assert.equal(await one.system.stat("/run/nightlatch-reboot/kexec/initrd"), null, `step ${failAt}`);
  }
});

test("what another boot staged is stale; what has expired is, too", { skip }, async () => {
  const before = await slots();
  const one = world();
  const plan = await planReboot(one.system, DEFAULT_ENTRY);
  const staged = async (changed: Partial<typeof context>) => {
    const keys = new KeyRing([passphrase()]);
    const authorities = await findAuthorities(one.system, plan.volumes, keys, nobody, "proved");
    const carry = await KEXEC.prepare(one.system, plan);
    await stageBoot(one.system, carry, plan, authorities, { ...context, ...changed }, () => {});
    return cleanUp(one.system, context.stateFolder, false);
  };
  assert.equal((await staged({ bootId: "11111111-2222-3333-4444-555555555555" })).removed.length, 3);
  assert.deepEqual(await slots(), before);
  assert.equal((await staged({ expires: 1 })).removed.length, 3);
  assert.deepEqual(await slots(), before);
  assert.equal((await one.system.readFile("/sys/kernel/kexec_loaded", 9)).toString(), "0\n");
});
