// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { isError } from "../../../../src/core/errors.ts";
import {
  defaultInBootctlText,
  parseBootctlList,
  tellsNoDefault,
  typeOfBootctlRow,
} from "../../../../src/formats/loader/bootctl-list.ts";

/** As Debian 12's systemd 252.39 printed them, the paths shortened. */
const LINES = `{"id":"m-6.1.0-50-amd64.conf","path":"/boot/efi/loader/entries/m-6.1.0-50-amd64.conf","root":"/boot/efi","title":"Debian GNU/Linux 12 (bookworm)","sortKey":"debian","options":"root=/dev/mapper/cryptroot ro","linux":"/m/6.1.0-50-amd64/linux","initrd":["/m/6.1.0-50-amd64/initrd.img-6.1.0-50-amd64"]}
{"id":"two.conf","path":"/boot/efi/loader/entries/two.conf","root":"/boot/efi","title":"Debian GNU/Linux 12 (bookworm)"}
`;
const TEXT = `         type: Boot Loader Specification Type #1 (.conf)
        title: Debian GNU/Linux 12 (bookworm) (6.1.0-50-amd64) (m-6.1.0-50-amd64.conf) (default) (not reported/new)
           id: m-6.1.0-50-amd64.conf
       source: /boot/efi/loader/entries/m-6.1.0-50-amd64.conf

         type: Boot Loader Specification Type #1 (.conf)
        title: Debian GNU/Linux 12 (bookworm) (6.1.0-50-amd64) (two.conf) (not reported/new)
           id: two.conf
       source: /boot/efi/loader/entries/two.conf
`;

test("systemd 252 prints an object a line, and tells the default to people alone", () => {
  const rows = parseBootctlList(Buffer.from(LINES));
  assert.deepEqual(
    rows.map((row) => [row["id"], typeOfBootctlRow(row)]),
    [
      ["m-6.1.0-50-amd64.conf", "type1"],
      ["two.conf", "type1"],
    ],
  );
  assert.equal(tellsNoDefault(rows), true);
  assert.equal(defaultInBootctlText(TEXT), "m-6.1.0-50-amd64.conf");
});

test("later ones print a list that tells all", () => {
  const rows = parseBootctlList(Buffer.from('[{"id":"a","type":"type2","isDefault":false}]\n'));
  assert.equal(tellsNoDefault(rows), false);
  assert.deepEqual(rows.map(typeOfBootctlRow), ["type2"]);
});

test("a mark in a title is no mark, and of two defaults none is taken", () => {
  assert.equal(defaultInBootctlText(TEXT.replace("(default) (not reported/new)", "(default) again")), null);
  assert.equal(defaultInBootctlText(TEXT.replace("(two.conf) ", "(two.conf) (default) (selected) ")), null);
  assert.equal(defaultInBootctlText(""), null);
});

test("unified images and what boots no Linux, from the path", () => {
  const type = (path: string) => typeOfBootctlRow({ id: "x", path });
  assert.equal(type("/efi/EFI/Linux/a+3.efi"), "type2");
  assert.equal(type("/efi/EFI/BOOT/x.efi"), "");
  assert.equal(typeOfBootctlRow({ id: "auto-reboot-to-firmware-setup" }), "");
});

test("what is no list is refused", () => {
  for (const text of ['"text"', "{}}", "", '{"a":1}\nnone'])
    assert.throws(
      () => parseBootctlList(Buffer.from(text)),
      (error) => isError(error, "json/malformed"),
    );
});
