// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { findInside, type StageFacts, whyEarly } from "../../../../src/check/judge/stage.ts";
import { parseInitramfsCrypttab } from "../../../../src/formats/initramfs/crypttab.ts";
import { parseCrypttab } from "../../../../src/formats/systemd/crypttab.ts";
import { parseFstab } from "../../../../src/formats/systemd/fstab.ts";

const UUID = "10000000-0000-4000-8000-000000000001";
const OTHER = "10000000-0000-4000-8000-000000000002";

interface Machine {
  readonly line?: string;
  readonly fstab?: string;
  readonly inside?: string;
  readonly beneath?: Partial<Readonly<Record<"root" | "usr" | "resume", string>>>;
  readonly uuid?: string | null;
}

function facts({ line, fstab = "", inside = "", beneath = {}, uuid = UUID }: Machine): StageFacts {
  const entry = line === undefined ? null : (parseCrypttab(Buffer.from(line)).entries[0] ?? null);
  const set = (one: string | undefined) => new Set(one === undefined ? [] : [one]);
  return {
    entry,
    uuid,
    mounts: parseFstab(Buffer.from(fstab)).filter(({ source }) => source === `/dev/mapper/${entry?.volume}`),
    beneath: { root: set(beneath.root), usr: set(beneath.usr), resume: set(beneath.resume) },
    inside: parseInitramfsCrypttab(inside, "a test's"),
  };
}

const LINE = `data UUID=${UUID} none luks`;
const ROOT = { why: "the root lies on it", isNeeded: true };

test("which volumes the initramfs opens, and why", () => {
  const cases: readonly (readonly [string, Machine, { why: string; isNeeded: boolean } | null])[] = [
    ["a data volume", { line: LINE, fstab: "/dev/mapper/data /srv ext4 defaults 0 2" }, null],
    ["fstab has the root on it", { line: LINE, fstab: "/dev/mapper/data / ext4 defaults 0 1" }, ROOT],
    ["the root's file system on LVM on md on it", { line: LINE, beneath: { root: UUID } }, ROOT],
    ["the same, not in crypttab at all", { beneath: { root: UUID } }, ROOT],
    ["the root lies on another", { line: LINE, beneath: { root: OTHER } }, null],
    ["/usr of its own", { line: LINE, beneath: { usr: UUID } }, { why: "/usr lies on it", isNeeded: true }],
    [
      "/usr by fstab",
      { line: LINE, fstab: "/dev/mapper/data /usr ext4 defaults 0 1" },
      { why: "/usr lies on it", isNeeded: true },
    ],
    [
      "swap to resume from",
      { line: `${LINE},swap`, beneath: { resume: UUID } },
      { why: "the machine resumes from it", isNeeded: false },
    ],
    ["Debian's mark", { line: `${LINE},initramfs` }, { why: "crypttab marks it initramfs", isNeeded: false }],
    [
      "systemd's mark",
      { line: `${LINE},x-initrd.attach` },
      { why: "crypttab marks it x-initrd.attach", isNeeded: false },
    ],
    [
      "no mark, and in the initramfs",
      { line: LINE, inside: `x UUID=${UUID} none luks` },
      { why: "the initramfs names it", isNeeded: false },
    ],
    ["the header cannot be read", { line: LINE, uuid: null, beneath: { root: OTHER } }, null],
    ["another volume of its name in the initramfs", { line: LINE, inside: `data UUID=${OTHER} none luks` }, null],
  ];
  for (const [what, machine, expected] of cases) assert.deepEqual(whyEarly(facts(machine)), expected, what);
});

test("generators write the device in their own ways", () => {
  const found = (machine: Machine) => {
    const { entry, uuid, inside } = facts(machine);
    return findInside({ entry, uuid }, inside)?.name ?? null;
  };
  assert.equal(found({ line: LINE, inside: `a UUID="${UUID.toUpperCase()}" none luks` }), "a");
  assert.equal(found({ line: LINE, inside: `a /dev/disk/by-uuid/${UUID} none luks` }), "a");
  assert.equal(found({ line: "data /dev/vda2 none luks", inside: "a /dev/vda2 none luks" }), "a");
  assert.equal(found({ line: "data LABEL=x none luks", inside: "a /dev/disk/by-label/x none luks" }), "a");
  assert.equal(found({ line: "data /dev/vda2 none luks", inside: "data /dev/sda2 none luks" }), "data");
  assert.equal(found({ line: LINE, inside: `data UUID=${OTHER} none luks` }), null);
  assert.equal(found({ inside: `a UUID=${UUID} none luks` }), "a", "a volume that crypttab does not have");
  assert.equal(found({ inside: "a /dev/vda2 none luks" }), null);
});
