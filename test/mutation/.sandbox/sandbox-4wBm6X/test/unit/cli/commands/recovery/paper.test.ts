/** What a person gets of a recovery key: the screen, and the page. */
// @ts-nocheck

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { composePage, requirePlace } from "../../../../../src/cli/commands/recovery/page.ts";
import { makeQrCode } from "../../../../../src/cli/commands/recovery/qr-code.ts";
import { composeScreen } from "../../../../../src/cli/commands/recovery/screen.ts";
import { isError } from "../../../../../src/core/errors.ts";
import { Secret } from "../../../../../src/core/secret.ts";
import { formatRecoveryKey } from "../../../../../src/formats/systemd/recovery-key.ts";
import type { RunRequest } from "../../../../../src/system/port.ts";
import { modulesOfBlocks, readQrCode } from "../../../../support/qr-code.ts";

const KEY = "geiifcif-cdkrtlhj-ehjgricd-hfdchvhd-gcdvceut-eclkjknd-tvugjnel-llibbrte";
const key = () => Secret.copy(Buffer.from(KEY));
const SCREEN = { columns: 80, rows: 24, drawsBlocks: true };
const page = (label = "", device = "/dev/vda3") =>
  composePage(key(), { device, uuid: "u-u-i-d", label, nowMs: Date.UTC(2026, 10, 29) }).toString();

test("the screen fits 80 columns and 24 lines, and its QR code says the key", () => {
  const shown = composeScreen(key(), `/dev/${"long".repeat(50)}`, SCREEN).toString();
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what ends and begins colours
  const lines = shown.replace(/\x1b\[[0-9;]*m/g, "").split("\n");
  assert.equal(lines.length, 24);
  assert.ok(lines.every((line) => line.length <= 80));
  assert.ok(lines.includes(`    ${KEY}`));
  assert.equal(readQrCode(modulesOfBlocks(shown)), KEY);
});

test("where the QR code cannot be seen, the screen says what it needs", () => {
  const without = (screen: object) => composeScreen(key(), "/dev/vda3", { ...SCREEN, ...screen }).toString();
  for (const screen of [{ rows: 23 }, { columns: 36 }]) {
    assert.match(without(screen), /\nA QR code of it needs a terminal of 37 columns and 24 lines\.\n/);
  }
  assert.match(without({ drawsBlocks: false }), /\nA QR code of it needs a terminal with colours and UTF-8\.\n/);
  for (const screen of [{ rows: 23 }, { drawsBlocks: false }]) {
    assert.match(without(screen), new RegExp(KEY));
    assert.doesNotMatch(without(screen), /[█▀▄]/);
  }
});

test("the QR code of any key says that key", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (raw) => {
      const made = formatRecoveryKey(raw);
      assert.equal(readQrCode(makeQrCode(made).map((row) => [...row])), made.reveal().toString());
    }),
    { numRuns: 20 },
  );
});

test("the page holds the key as text and as a QR code, and what it belongs to", () => {
  const html = page("backup");
  assert.ok(html.includes(`<p class="key">${KEY}</p>`));
  for (const said of ["/dev/vda3", "u-u-i-d", "backup", "2026-11-29", "nightlatch recovery test /dev/vda3"]) {
    assert.ok(html.includes(said), said);
  }
  const size = Number(/viewBox="0 0 (\d+) \1"/.exec(html)?.[1]);
  const modules = Array.from({ length: size }, () => Array.from({ length: size }, () => false));
  for (const [, x, y] of html.matchAll(/M(\d+) (\d+)h1v1h-1z/g)) (modules[Number(y)] ?? [])[Number(x)] = true;
  assert.equal(readQrCode(modules), KEY);
});

test("the page asks for nothing from outside, and a label in the header is text", () => {
  const html = page('<script src="http://evil/">&', "/dev/<b>");
  assert.doesNotMatch(
    html.replace(/<meta[^>]*>/g, ""),
    /<(?!\/?(?:html|head|title|style|body|h1|table|tr|th|td|p|svg|path|code|!DOCTYPE)\b)/,
  );
  assert.doesNotMatch(html, /<[^>]*\s(?:src|href)=|url\(|@import/);
  assert.ok(html.includes("&lt;script src=&quot;http://evil/&quot;&gt;&amp;"));
});

const place = (path: string, facts: { type?: string; source?: string; beneath?: string; exists?: boolean }) =>
  requirePlace(
    {
      realPath: async (folder: string) => (folder === "/gone" ? null : folder),
      lstat: async () => (facts.exists === true ? ({} as never) : null),
      run: async ({ argv }: RunRequest) => {
        const isType = argv.join(" ").startsWith("findmnt -n");
        const json = {
          filesystems: [{ target: "/", source: facts.source ?? "/dev/sda1", fstype: facts.type ?? "ext4" }],
        };
        const said =
          argv[0] === "lsblk"
            ? `{"blockdevices":[${facts.beneath ?? ""}]}`
            : isType
              ? (facts.type ?? "ext4")
              : JSON.stringify(json);
        return { status: 0, signal: null, stdout: Buffer.from(said), stderr: Buffer.alloc(0) };
      },
    } as never,
    path,
  );

test("a page is written to memory, never to a plain disk or over a file", async () => {
  assert.equal(await place("/dev/shm/key.html", { type: "tmpfs", source: "tmpfs" }), "/dev/shm/key.html");
  assert.equal(await place("/mnt/key.html", { type: "ext4\ntmpfs" }), "/mnt/key.html"); // one over the other
  const luks = '{"name":"x","fstype":"ext4","uuid":"a","children":[{"name":"y","fstype":"crypto_LUKS","uuid":"b"}]}';
  assert.equal(await place("/root/key.html", { source: "/dev/mapper/x", beneath: luks }), "/root/key.html");
  const refused = async (path: string, facts: object, message: string) =>
    assert.rejects(place(path, facts), (error) => isError(error) && error.message === message);
  await refused("/root/key.html", {}, "/root/key.html lies on a disk that is not encrypted");
  await refused(
    "/mnt/key.html",
    { type: "nfs4", source: "nas:/x" },
    "/mnt/key.html lies on a disk that is not encrypted",
  );
  await refused("/run/key.html", { type: "tmpfs", exists: true }, "/run/key.html is there already");
  await refused("/gone/key.html", {}, "/gone/key.html: there is no such folder");
  await refused("/run/", {}, "/run/: there is no such folder");
});
