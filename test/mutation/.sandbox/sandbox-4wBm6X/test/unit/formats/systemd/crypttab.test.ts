// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type CrypttabEdit,
  devicePathOf,
  editCrypttabLine,
  findOption,
  formatCrypttabLine,
  headerPathOf,
  isNetworkVolume,
  isStartedByHand,
  mayFail,
  parseCrypttab,
} from "../../../../src/formats/systemd/crypttab.ts";

const parse = (text: string) => parseCrypttab(Buffer.from(text));

test("fields are parted by white space; comments and blank lines are none", () => {
  const { entries, faults } = parse(
    "# a comment\n\n  data\tUUID=1234   /run/nightlatch/agent.sock  luks,_netdev,nofail  ignored\n\t#x /dev/y\n",
  );
  assert.deepEqual(faults, []);
  assert.deepEqual(entries, [
    {
      line: 3,
      volume: "data",
      device: "UUID=1234",
      key: "/run/nightlatch/agent.sock",
      options: [
        { name: "luks", value: null },
        { name: "_netdev", value: null },
        { name: "nofail", value: null },
      ],
      fields: ["data", "UUID=1234", "/run/nightlatch/agent.sock", "luks,_netdev,nofail", "ignored"],
    },
  ]);
});

test("an edited line keeps the device, the options and what follows them as they are written", () => {
  const edit = (line: string, change: CrypttabEdit): string => {
    const [entry] = parse(line).entries;
    assert.ok(entry !== undefined);
    return editCrypttabLine(entry, change);
  };
  const cases: readonly (readonly [string, CrypttabEdit, string])[] = [
    ["a  UUID=1\tnone", {}, "a UUID=1 none luks"],
    ["a UUID=1", { key: "/s" }, "a UUID=1 /s luks"],
    ["a UUID=1 none none", { having: ["nofail"] }, "a UUID=1 none nofail"],
    [
      'a LABEL="x\\040y" - luks,discard,x=a\\,b rest',
      { key: "/s", having: ["_netdev"] },
      'a LABEL="x\\040y" /s luks,discard,x=a\\,b,_netdev rest',
    ],
    ["a UUID=1 /s luks,tpm2-device=auto,nofail", { without: ["tpm2-device", "nofail"] }, "a UUID=1 /s luks"],
    ["a UUID=1 /s key-slot=1", { without: ["key-slot"] }, "a UUID=1 /s luks"],
    ["a UUID=1 /s luks,_netdev", { having: ["_netdev", "nofail"] }, "a UUID=1 /s luks,_netdev,nofail"],
  ];
  for (const [line, change, expected] of cases) assert.equal(edit(line, change), expected);
});

test("a key of none, - or nothing is no key", () => {
  for (const key of ["none", "-", ""]) assert.equal(parse(`v /dev/x ${key}`).entries[0]?.key, null, key);
  assert.equal(parse("v /dev/x /none luks").entries[0]?.key, "/none");
});

test("quotes are part of a field, as sscanf leaves them", () => {
  assert.deepEqual(
    parse('"my disk" /dev/x').entries.map(({ volume, device }) => [volume, device]),
    [['"my', 'disk"']],
  );
});

test("options: the last counts, = parts name and value, \\, and \\\\ stand for themselves", () => {
  const [entry] = parse("v /dev/x - header=/a\\,b\\\\c,size=256,,size=512=x,nofail,fail,noauto,discard\\").entries;
  assert.ok(entry);
  assert.equal(findOption(entry, "header")?.value, "/a,b\\c");
  assert.equal(findOption(entry, "size")?.value, "512=x");
  assert.equal(findOption(entry, "tries"), undefined);
  assert.equal(mayFail(entry), false);
  assert.equal(isStartedByHand(entry), true);
  assert.equal(isNetworkVolume(entry), false);
  assert.equal(findOption(entry, "discard\\")?.value, null);
});

test("what is no entry is a fault and spoils no other line", () => {
  const bytes = Buffer.concat([
    Buffer.from("alone\na/b /dev/x\n"),
    Buffer.from([0x76, 0xff, 0x20, 0x2f, 0x64, 0x0a]),
    Buffer.from("v /dev/x\r\nv /dev/y\0w /dev/z"),
  ]);
  const { entries, faults } = parseCrypttab(bytes);
  assert.deepEqual(
    entries.map(({ volume, device, line }) => [volume, device, line]),
    [
      ["v", "/dev/x", 4],
      ["w", "/dev/z", 6],
    ],
  );
  assert.deepEqual(faults, [
    { line: 1, what: "names a volume and no device: systemd passes over it" },
    { line: 2, what: "has a volume name that is no file name: systemd refuses it" },
    { line: 3, what: "is not UTF-8: systemd does not open the volume, and perhaps none of those that are not _netdev" },
    {
      line: 5,
      what: "names v again: systemd makes nothing of it, and older versions (252 for one) of no line after it",
    },
  ]);
});

test("device specifications become udev's links", () => {
  assert.equal(devicePathOf("/dev/vdb"), "/dev/vdb");
  assert.equal(devicePathOf("/var/image file"), "/var/image file");
  assert.equal(devicePathOf("UUID=0d3c-AA"), "/dev/disk/by-uuid/0d3c-AA");
  assert.equal(devicePathOf('UUID="0d3c"'), "/dev/disk/by-uuid/0d3c");
  assert.equal(devicePathOf("PARTUUID='x'"), "/dev/disk/by-partuuid/x");
  assert.equal(devicePathOf("LABEL=my/disk ä"), "/dev/disk/by-label/my\\x2fdisk\\x20ä");
  assert.equal(devicePathOf("PARTLABEL=a\\b"), "/dev/disk/by-partlabel/a\\x5cb");
});

test("the line that is advised reads back as what was meant", () => {
  const advice = { volume: "data", source: "UUID=9f1c", header: null, socket: "/run/nightlatch/agent.sock" };
  const line = formatCrypttabLine({ ...advice, overNetwork: true });
  assert.equal(line, "data UUID=9f1c /run/nightlatch/agent.sock luks,_netdev,nofail");
  const [entry] = parse(line).entries;
  assert.ok(entry && isNetworkVolume(entry) && mayFail(entry));
  assert.equal(formatCrypttabLine({ ...advice, overNetwork: false }), "data UUID=9f1c /run/nightlatch/agent.sock luks");
  const detached = parse(formatCrypttabLine({ ...advice, source: "/dev/sdb", header: "/etc/h", overNetwork: true }));
  assert.deepEqual(detached.entries.map(headerPathOf), ["/etc/h"]);
});

test("any bytes: never a throw, lines ascend, volumes are file names and appear once", () => {
  const soup = fc.array(
    fc.oneof(fc.constantFrom("v", "w ", " /dev/x", "\t-", "#", "\n", "\0", "\\,", "=", ",_netdev", "ü"), fc.string()),
    { maxLength: 60 },
  );
  const anyBytes = fc.oneof(
    fc.uint8Array({ maxLength: 400 }),
    soup.map((parts) => new Uint8Array(Buffer.from(parts.join("")))),
  );
  fc.assert(
    fc.property(anyBytes, (bytes) => {
      const { entries } = parseCrypttab(bytes);
      const names = entries.map(({ volume }) => volume);
      assert.equal(new Set(names).size, names.length);
      for (const [index, entry] of entries.entries()) {
        assert.ok(entry.line > (entries[index - 1]?.line ?? 0));
        assert.match(entry.volume, /^[^/\0\s#][^/\0\s]*$/u);
        assert.notEqual(entry.device, "");
        assert.ok(entry.options.every(({ name }) => !name.includes("=")));
      }
    }),
  );
});
