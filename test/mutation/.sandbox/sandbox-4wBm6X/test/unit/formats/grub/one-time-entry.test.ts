// @ts-nocheck
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { isError } from "../../../../src/core/errors.ts";
import { addToCustom, findInCustom } from "../../../../src/formats/grub/custom-cfg.ts";
import { choose } from "../../../../src/formats/grub/default-entry.ts";
import type { WordPart } from "../../../../src/formats/grub/lexer.ts";
import { runGrub } from "../../../../src/formats/grub/menu.ts";
import { formatOneshotEntry } from "../../../../src/formats/grub/one-time-entry.ts";
import { fallbackOf, whyNotOnce } from "../../../../src/formats/grub/one-time-entry-check.ts";
import { formatGrub, quoteGrub } from "../../../../src/formats/grub/print.ts";
import { parseGrubScript, type Statement } from "../../../../src/formats/grub/script.ts";
import type { GrubLinux, GrubWorld } from "../../../../src/formats/grub/world.ts";
import { parseBlsEntry } from "../../../../src/formats/loader/bls.ts";
import { formatBlsOneshot, markInBls } from "../../../../src/formats/loader/bls-one-time-entry.ts";
import { formatMark, ONESHOT_ID, parseMark } from "../../../../src/formats/own/oneshot-mark.ts";
import { evaluateGrub } from "../../../support/grub/menu.ts";

const vector = (name: string) => readFileSync(new URL(`../../../vectors/boot/${name}`, import.meta.url), "utf8");
const mark = {
  boot: "99999999-2222-3333-4444-555555555555",
  expires: 1_700_000_000,
  overlay: "/boot/nightlatch/oneshot.cpio",
  before: null,
};
const PAD = "/boot/nightlatch/oneshot.pad";
const extra = [PAD, mark.overlay];
const world = (overrides: Partial<GrubWorld> = {}): GrubWorld => ({
  prefix: "/boot/grub",
  platform: "pc",
  environment: new Map(),
  files: new Map(),
  blsEntries: [],
  ...overrides,
});
const custom = "/boot/grub/custom.cfg";

/** What arming makes of a configuration, and why it would not do. */
function arm(
  text: string,
  base: GrubWorld,
  selector: string | null = null,
  own: Buffer | null = null,
  cmdline?: string,
) {
  const run = runGrub(text, base);
  const other = choose(run.menu, selector ?? run.menu.default)?.entry;
  assert.ok(other?.source != null && other.linux !== null);
  const wish = {
    title: `Once: ${other.title}`,
    cmdline: cmdline ?? other.linux.options,
    extra,
    fallback: fallbackOf(run.menu),
  };
  const part = formatOneshotEntry(other.source, wish);
  const written = addToCustom(own, mark, part);
  const expected: GrubLinux = {
    ...other.linux,
    options: wish.cmdline,
    initrds: [...other.linux.initrds, ...extra],
  };
  const why = whyNotOnce({ text, world: base, custom: written.toString("utf8"), expected, extra });
  return { part, written, expected, why };
}

/**
 * Statements with texts that stand together as one, so that two ways to write the same are equal.
 */
function merged(statements: readonly Statement[]): unknown {
  return JSON.parse(JSON.stringify(statements), (key, value) => {
    // A block's text is what is between its braces, in whatever way it is written.
    if (key === "block" && value !== null) return value.body;
    // A line that goes on in the next, with a space before both, is a word of nothing.
    if (key === "words") return value.filter((word: readonly WordPart[]) => word.length > 0);
    if (
      !Array.isArray(value) ||
      value.length === 0 ||
      !value.every((part) => part?.kind === "text" || part?.kind === "variable")
    )
      return value;
    const parts: WordPart[] = [];
    for (const part of value as WordPart[]) {
      const last = parts.at(-1);
      if (part.kind === "text" && last?.kind === "text" && (last.quoted === part.quoted || part.text === ""))
        parts[parts.length - 1] = { ...last, text: last.text + part.text };
      else parts.push(part);
    }
    return parts.map((part) => (part.kind === "text" ? { ...part, quoted: part.quoted && part.text === "" } : part));
  });
}

test("what is written parses to the same statements: grub-mkconfig's own output, and a little of everything", () => {
  const all = `for i in a "b c" $d; do echo "\${i}"x'y'; done
while [ x$n != x ]; do unset n; done
until false; do true; done
function f { if ! [ -f /a -o -z "" ]; then echo \\$ 'it'\\''s'; elif b; then c; else d; fi; }
submenu 's' { menuentry "a b" --id 'c' $e { linux /v a="b c" \\
 d; initrd /i*; } }`;
  for (const text of [vector("grub-debian12.cfg"), vector("grub-debian12-saved.cfg"), all]) {
    const parsed = parseGrubScript(text);
    assert.deepEqual(merged(parseGrubScript(formatGrub(parsed))), merged(parsed));
  }
});

test("any text is one word of GRUB's script, which is that text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string(), (text, other) => {
      // Of a file GRUB leaves out carriage returns, and lines that begin with "#"; it knows no NUL.
      fc.pre(!/[\r\0]|\n#/.test(text + other));
      const entry = evaluateGrub(`menuentry ${quoteGrub(text)} { linux /v ${quoteGrub(other)} }`, world()).entries[0];
      assert.equal(entry?.title, text);
      assert.equal(entry?.source?.linux[1], other);
    }),
  );
});

test("armed: the one-time choice is our entry, with the same kernel, more initrds, the same command line", () => {
  const text = vector("grub-debian12.cfg");
  const { part, why, written } = arm(text, world());
  assert.equal(why, null);
  assert.match(part, /set fallback='0'/);
  assert.match(part, /load_video/);
  assert.match(part, /insmod gzio/);
  const files = new Map([[custom, written.toString()], ...extra.map((path) => [path, "here"] as const)]);
  const environment = new Map([["next_entry", ONESHOT_ID]]);
  const { menu } = runGrub(text, world({ files, environment }));
  assert.deepEqual(choose(menu, menu.default)?.entry.linux, {
    kernel: "/boot/vmlinuz-6.1.0-50-amd64",
    initrds: ["/boot/initrd.img-6.1.0-50-amd64", ...extra],
    options: "root=/dev/vda ro console=ttyS0 quiet",
    fsUuid: null,
  });
  const gone = evaluateGrub(text, world({ files: new Map([[custom, written.toString()]]), environment }));
  assert.deepEqual(choose(gone, gone.default)?.entry.linux?.initrds, ["/boot/initrd.img-6.1.0-50-amd64"]);
});

test("an entry deep in a submenu, chosen by the saved default, with another command line", () => {
  const text = vector("grub-debian12-saved.cfg");
  const base = world({
    environment: new Map([["saved_entry", "gnulinux-advanced-/dev/vda>gnulinux-6.1.0-49-amd64-advanced-/dev/vda"]]),
  });
  const { why, expected, part } = arm(text, base, null, null, "root=/dev/vda ro single");
  assert.equal(why, null);
  assert.equal(expected.kernel, "/boot/vmlinuz-6.1.0-49-amd64");
  assert.match(part, /'root=\/dev\/vda' 'ro' 'single'/);
});

test("what would not come back, or more than once, is refused in words", () => {
  const text = vector("grub-debian12.cfg");
  const refused: [string, Partial<GrubWorld>, Buffer | null, RegExp][] = [
    [text.replaceAll("custom.cfg", "other.cfg"), {}, null, /does not include custom\.cfg/],
    [text.replace(`set default="\${next_entry}"`, ""), {}, null, /does not take its default from the one-time choice/],
    [text.replace("save_env next_entry", ""), {}, null, /does not take back its one-time choice/],
    [text.replaceAll(/set timeout=\S+/g, "set timeout=-1"), {}, null, /waits for a person/],
    [`set superusers=root\n${text}`, {}, null, /asks for a password/],
    [text, {}, Buffer.from("set default=0\n"), /does not take its default/],
    [
      `${text}\nmenuentry last { linux /last }\nif [ -z "$next_entry" -a "$default" = 0 ]; then set default=2; fi`,
      {},
      null,
      /another entry would become the default/,
    ],
  ];
  for (const [changed, overrides, own, message] of refused) {
    const files = own === null ? new Map() : new Map([[custom, own.toString()]]);
    const { why } = arm(changed, world({ files, ...overrides }), "0", own);
    assert.match(String(why), message);
  }
  assert.equal(
    arm(`set superusers=root\n${text.replaceAll("--class gnu-linux", "--unrestricted")}`, world(), "0").why,
    null,
  );
});

test("entries that cannot be followed are refused", () => {
  const source = (body: string) => {
    const entry = evaluateGrub(`menuentry a { ${body} }`, world()).entries[0];
    assert.ok(entry?.source != null);
    return entry.source;
  };
  const wish = { title: "t", cmdline: "ro", extra, fallback: null };
  for (const [body, message] of [
    ["linux (hd0,1)/v ro; initrd (hd0,1)/i", /devices of the firmware/],
    ["linux /v ro; initrd ($root)/i", /devices of the firmware/],
  ] as const) {
    assert.throws(
      () => formatOneshotEntry(source(body), wish),
      (error) => isError(error, "oneshot/unavailable") && message.test(error.message),
    );
  }
  assert.throws(
    () => formatOneshotEntry(source("linux /v a; initrd /i"), { ...wish, cmdline: 'a="b c"' }),
    (error) => isError(error, "oneshot/unavailable") && /quotes/.test(error.message),
  );
  assert.match(
    formatOneshotEntry(source(`linux /v "a=b c" ro quiet; initrd /i`), { ...wish, cmdline: '"a=b c" quiet' }),
    /linux \/v 'a=b c' 'quiet'\n/,
  );
});

test("titles, ids and arguments of any kind come through, or are refused, and nothing of them is run", () => {
  const words = fc.string({ maxLength: 12 }).map((text) => text.replaceAll("\0", ""));
  fc.assert(
    fc.property(words, words, fc.array(words, { maxLength: 4 }), (title, id, args) => {
      // A title that begins with a dash is an option to GRUB, and a line that begins with "#" is
      // none.
      fc.pre(!title.startsWith("-") && !/[\r]|\n#/.test(title + id + args.join("")));
      const line = ["linux /v", ...args.map(quoteGrub)].join(" ");
      const text = `set timeout=5
if [ "\${next_entry}" ]; then set default="\${next_entry}"; set next_entry=; save_env next_entry; else set default=0; fi
menuentry ${quoteGrub(title)} --class os --id=${quoteGrub(id)} { ${line}\ninitrd /i }
source \${config_directory}/custom.cfg`;
      const base = world({ environment: new Map([["x", "y"]]) });
      const loads = text.replace("else set default=0", "else set default=0").replace(/^/, "load_env\n");
      const { why } = arm(loads, base, "0");
      assert.equal(why, id === ONESHOT_ID ? why : null);
    }),
  );
});

test("custom.cfg comes back byte for byte, whatever stood in it, and whatever was written around ours since", () => {
  const part = "menuentry x { linux /v }\n";
  const contents = fc.oneof(
    fc.constant(null),
    fc.uint8Array({ maxLength: 200 }),
    fc.string().map((text) => Buffer.from(`${text}\n`)),
  );
  fc.assert(
    fc.property(contents, fc.uint8Array({ maxLength: 50 }), (before, since) => {
      const armed = addToCustom(before, mark, part);
      const found = findInCustom(armed);
      assert.ok(found !== null);
      assert.deepEqual(found.mark, mark);
      assert.deepEqual(found.rest === null ? null : [...found.rest], before === null ? null : [...before]);
      const grown = findInCustom(Buffer.concat([armed, since]));
      assert.deepEqual([...(grown?.rest ?? [])], [...(before ?? []), ...since]);
    }),
  );
  assert.equal(findInCustom(Buffer.from("menuentry a { }\n")), null);
  const armed = addToCustom(Buffer.from("set a=b"), mark, part);
  assert.throws(
    () => findInCustom(armed.subarray(0, armed.length - 5)),
    (error) => isError(error, "oneshot/malformed"),
  );
  const forged = Buffer.from(armed.toString().replace('"version":1', '"version":2'));
  assert.deepEqual([findInCustom(forged)?.mark, String(findInCustom(forged)?.rest)], [null, "set a=b"]);
});

test("marks: what is written is read, anything else is refused", () => {
  assert.deepEqual(parseMark(formatMark({ ...mark, before: 'an "odd"\nchoice' })), {
    ...mark,
    before: 'an "odd"\nchoice',
  });
  for (const wrong of [
    "{}",
    "[]",
    "x",
    formatMark({ ...mark, boot: "b" }),
    formatMark({ ...mark, overlay: "relative" }),
  ]) {
    assert.throws(
      () => parseMark(wrong),
      (error) => isError(error),
    );
  }
});

test("a type 1 entry: what the other loads, then ours; no sort key, no foreign keys, no second line from a title", () => {
  const other =
    "title Debian\nsort-key debian\nversion 6.1\nmachine-id abc\nlinux /m/6.1/linux\ninitrd /m/ucode\ninitrd /m/6.1/initrd\noptions a\noptions b\ndevicetree /dtb\ngrub_users $grub_users\n";
  const paths = ["/nightlatch/oneshot.pad", "/nightlatch/oneshot.cpio"];
  const text = formatBlsOneshot(other, mark, { title: "Once:\noptions evil", options: "root=/dev/x ro", extra: paths });
  const entry = parseBlsEntry(`${ONESHOT_ID}.conf`, text);
  assert.deepEqual(entry.initrds, ["/m/ucode", "/m/6.1/initrd", ...paths]);
  assert.deepEqual(
    [entry.linux, entry.options, entry.sortKey, entry.title],
    ["/m/6.1/linux", "root=/dev/x ro", "", "Once: options evil"],
  );
  assert.match(text, /^devicetree \/dtb$/m);
  assert.doesNotMatch(text, /grub_users/);
  assert.deepEqual(markInBls(text), mark);
  assert.equal(markInBls(other), null);
});
