// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CrypttabEntry } from "../../../src/formats/systemd/crypttab.ts";
import { findKey, readCrypttab } from "../../../src/host/crypttab.ts";
import { fakeSystem } from "../../support/fake-files.ts";

const [ETC, RUN] = ["/etc/cryptsetup-keys.d/data.key", "/run/cryptsetup-keys.d/data.key"] as const;

const keyOf = (key: string | null, ...there: readonly string[]) =>
  findKey(fakeSystem(Object.fromEntries(there.map((path) => [path, "k"]))), { volume: "data", key } as CrypttabEntry);
const file = (path: string) => ({ path, kind: "file" });

test("a crypttab that is not there has no volumes; another path than the system's may be read", async () => {
  assert.deepEqual((await readCrypttab(fakeSystem({}))).entries, []);
  const system = fakeSystem({ "/etc/crypttab": "data /dev/vdb", "/mnt/etc/crypttab": "other /dev/vdc" });
  assert.deepEqual((await readCrypttab(system)).entries[0]?.volume, "data");
  assert.deepEqual((await readCrypttab(system, "/mnt/etc/crypttab")).entries[0]?.volume, "other");
});

test("a key that is named counts alone; else a file of the volume's name does, of /etc before /run", async () => {
  assert.equal(await keyOf(null), null);
  assert.deepEqual(await keyOf(null, RUN), file(RUN));
  assert.deepEqual(await keyOf(null, RUN, ETC), file(ETC));
  assert.deepEqual(await keyOf("/etc/own.key", ETC, "/etc/own.key"), file("/etc/own.key"));
  assert.equal(await keyOf("/etc/own.key", ETC, RUN), null);
  assert.deepEqual(await keyOf("/etc", "/etc/own.key"), { path: "/etc", kind: "other" });
});

test("a key on a device of its own is not looked for on this system, whatever lies there", async () => {
  assert.equal(await keyOf("/own.key:UUID=1234-ABCD", "/own.key", "/own.key:UUID=1234-ABCD"), null);
  assert.deepEqual(await keyOf("/own:key", "/own:key"), file("/own:key"));
  const label = "/dev/disk/by-partlabel/the\\x2fkey";
  assert.deepEqual(await keyOf("PARTLABEL=the/key", label), file(label));
});
