// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { findStarts, type Start } from "../../../../src/formats/systemd/boot-start.ts";
import { parseCrypttab } from "../../../../src/formats/systemd/crypttab.ts";
import { parseFstab } from "../../../../src/formats/systemd/fstab.ts";

function startsOf(crypttab: string, fstab = "", more: { startsRemote?: boolean; cmdline?: string } = {}) {
  const files = { crypttab: parseCrypttab(Buffer.from(crypttab, "latin1")), mounts: parseFstab(Buffer.from(fstab)) };
  return findStarts({ ...files, startsRemote: false, cmdline: "quiet", ...more });
}

/**
 * Line of crypttab after `v UUID=1 none `, fstab, what starts it.
 * test/interop/systemd/starts.test.ts asks systemd.
 */
const CASES: readonly (readonly [options: string, fstab: string, by: Start["by"]])[] = [
  ["luks", "", "target"],
  ["luks,_netdev", "", "nobody"],
  ["luks,noauto", "", "hand"],
  ["luks,noauto,auto", "", "target"],
  ["luks,noauto", "/dev/mapper/v /srv ext4 defaults", "mount"],
  ["luks,noauto", "/dev//mapper/./v/ /srv ext4", "mount"],
  ["luks,noauto", "UUID=2 /srv ext4 defaults", "hand"],
  ["luks,noauto", "/dev/disk/by-id/dm-name-v /srv ext4 defaults", "hand"],
  ["luks,noauto", "/dev/mapper/v /srv ext4 noauto", "hand"],
  ["luks,noauto", "/dev/mapper/v none swap sw", "mount"],
  ["luks,noauto", "/dev/mapper/v /srv ext4 x-systemd.automount", "use"],
  ["luks,noauto", "/dev/mapper/v /srv ext4 noauto\ntmpfs /srv/in tmpfs defaults", "mount"],
  ["luks,noauto", "/dev/mapper/v /srv ext4 noauto\n/srv/x /y none bind", "mount"],
  ["luks,noauto", "tmpfs /y tmpfs x-systemd.requires=systemd-cryptsetup@v.service", "mount"],
  ["luks,noauto", "tmpfs /y tmpfs x-systemd.requires=/dev/mapper/v", "mount"],
  ["luks,noauto", "/dev/mapper/v /srv ext4 noauto,x-systemd.wanted-by=multi-user.target", "mount"],
  ["luks,noauto", "/dev/mapper/v /srv ext4 x-systemd.wanted-by=mine.target", "unsure"],
  ["luks,noauto", "/dev/mapper/v /srv ext4 nofail,x-systemd.requires=/nowhere", "unsure"],
  ["luks,noauto", "/dev/mapper/w /srv ext4 defaults\n/dev/mapper/v /srv ext4 defaults", "hand"],
];

test("what starts a volume, by crypttab and fstab", () => {
  for (const [options, fstab, by] of CASES) {
    assert.equal(startsOf(`v UUID=1 none ${options}\n`, fstab).get("v")?.by, by, `${options}; ${fstab}`);
  }
});

test("a volume is started for the sake of another one, whose key, header or device it holds", () => {
  const others = [
    "w /dev/mapper/v none luks",
    "w UUID=2 /dev/mapper/v luks",
    "w UUID=2 none luks,header=/dev/mapper/v",
  ];
  for (const other of [...others, "w UUID=2 /key:/dev/mapper/v luks"]) {
    assert.equal(startsOf(`v UUID=1 none luks,noauto\n${other}\n`).get("v")?.by, "target", other);
  }
  const mount = "/dev/mapper/v /keys ext4 noauto";
  assert.equal(startsOf("v UUID=1 none luks,noauto\nw UUID=2 /keys/w luks\n", mount).get("v")?.by, "target");
});

test("the kernel command line: rd. is for the initramfs", () => {
  const by = (cmdline: string) => startsOf("v UUID=1 none luks\n", "", { cmdline }).get("v")?.by;
  assert.deepEqual(["luks=no", "luks.crypttab=0", "luks.uuid=2", "luks.name=2=x"].map(by), Array(4).fill("unheard"));
  assert.deepEqual(
    ["rd.luks=no", "rd.luks.uuid=2", "luks.uuid=1", "luks=no luks=yes"].map(by),
    Array(4).fill("target"),
  );
  assert.equal(by("luks.options=1=noauto"), "hand");
});

test("a line that harms others leaves them in doubt", () => {
  const by = (text: string) => [...startsOf(text).values()].map((start) => start.by);
  assert.deepEqual(by("a UUID=1 none luks\nb\xe9 UUID=2 none luks\nc UUID=3 none luks,_netdev\n"), [
    "unsure",
    "nobody",
  ]);
  assert.deepEqual(by("a UUID=1 none luks\nb\xe9 UUID=2 none luks,nofail\n"), ["target"]);
  assert.deepEqual(by("a UUID=1 none luks\na UUID=2 none luks\nb UUID=3 none luks\n"), ["target", "unsure"]);
});

test("any files: no throw, and every volume has its start", () => {
  const soup = (words: readonly string[]) =>
    fc
      .array(fc.oneof(fc.constantFrom(...words), fc.string({ maxLength: 3 })), { maxLength: 60 })
      .map((all) => all.join(""));
  const crypttab = soup([
    "v ",
    "w ",
    "/dev/mapper/v ",
    "/m/v",
    " none",
    " luks",
    ",noauto",
    ",_netdev",
    "\n",
    "..",
    ":",
  ]);
  const fstab = soup([
    "/dev/mapper/v ",
    "/m/v ",
    "/m ",
    "ext4 ",
    "swap ",
    "noauto",
    ",bind",
    "x-systemd.requires=/m",
    "\n",
  ]);
  fc.assert(
    fc.property(crypttab, fstab, (lines, mounts) => {
      const starts = startsOf(lines, mounts);
      const names = parseCrypttab(Buffer.from(lines, "latin1")).entries.map(({ volume }) => volume);
      assert.deepEqual([...starts.keys()].sort(), names.sort());
    }),
  );
});
