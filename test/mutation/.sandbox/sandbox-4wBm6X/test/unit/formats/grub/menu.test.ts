// @ts-nocheck
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { isError } from "../../../../src/core/errors.ts";
import { choose } from "../../../../src/formats/grub/default-entry.ts";
import { parseGrubenv } from "../../../../src/formats/grub/grubenv.ts";
import type { GrubWorld } from "../../../../src/formats/grub/world.ts";
import { defaultGrubEntry, evaluateGrub } from "../../../support/grub/menu.ts";

const vector = (name: string) => readFileSync(new URL(`../../../vectors/boot/${name}`, import.meta.url));
const world = (overrides: Partial<GrubWorld> = {}): GrubWorld => ({
  prefix: "/boot/grub",
  platform: "pc",
  environment: new Map(),
  files: new Map(),
  blsEntries: [],
  ...overrides,
});
const kernelOf = (text: string, overrides: Partial<GrubWorld> = {}) =>
  defaultGrubEntry(evaluateGrub(text, world(overrides)))?.entry.linux?.kernel;

test("grub-mkconfig's own output: the menu, ids, and the first entry by default", () => {
  const menu = evaluateGrub(vector("grub-debian12.cfg").toString(), world());
  assert.deepEqual(
    menu.entries.map(({ title, id }) => [title, id]),
    [
      ["Debian GNU/Linux", "gnulinux-simple-/dev/vda"],
      ["Advanced options for Debian GNU/Linux", "gnulinux-advanced-/dev/vda"],
    ],
  );
  assert.equal(menu.default, "0");
  const choice = defaultGrubEntry(menu);
  assert.deepEqual(choice?.entry.linux, {
    kernel: "/boot/vmlinuz-6.1.0-50-amd64",
    initrds: ["/boot/initrd.img-6.1.0-50-amd64"],
    options: "root=/dev/vda ro console=ttyS0 quiet",
    fsUuid: null,
  });
  assert.equal(menu.entries[1]?.submenu?.entries.length, 4);
});

test("the kernel's command line has the quotes that GRUB gives it", () => {
  const optionsOf = (args: string) =>
    defaultGrubEntry(evaluateGrub(`menuentry a { linux /v ${args} }`, world()))?.entry.linux?.options;
  assert.equal(optionsOf("root=/dev/a ro  quiet"), "root=/dev/a ro quiet");
  assert.equal(optionsOf('dyndbg="file a.c +p" ro'), '"dyndbg=file a.c +p" ro');
  assert.equal(optionsOf(`'a"b' 'c\\d' "e'f g"`), `a\\"b c\\\\d "e\\'f g"`);
  assert.equal(optionsOf(`'a\\x20b' 'a\\x2'`), "a\\x20b a\\\\x2");
});

test("saved_entry leads into the submenu, next_entry comes before it", () => {
  const text = vector("grub-debian12-saved.cfg").toString();
  const environment = parseGrubenv(vector("grubenv"));
  const saved = defaultGrubEntry(evaluateGrub(text, world({ environment })));
  assert.equal(saved?.entry.linux?.kernel, "/boot/vmlinuz-6.1.0-49-amd64");
  assert.equal(saved?.path, "gnulinux-advanced-/dev/vda>gnulinux-6.1.0-49-amd64-advanced-/dev/vda");
  assert.equal(saved?.asNamed, true);
  const once = new Map([...environment, ["next_entry", "1>1"]]);
  const next = defaultGrubEntry(evaluateGrub(text, world({ environment: once })));
  assert.match(String(next?.entry.title), /6\.1\.0-50-amd64 \(recovery mode\)$/);
});

test("a default that names nothing falls back to the first entry, and says so", () => {
  const menu = evaluateGrub(vector("grub-debian12.cfg").toString(), world());
  assert.equal(choose(menu, "no such entry")?.asNamed, false);
  assert.equal(choose(menu, "7")?.asNamed, false);
  assert.equal(choose(menu, "1>9")?.entry.title, "Debian GNU/Linux, with Linux 6.1.0-50-amd64");
  assert.equal(choose(menu, "1>9")?.asNamed, false);
  assert.equal(choose(menu, "1")?.entry.title, "Debian GNU/Linux, with Linux 6.1.0-50-amd64");
  assert.equal(choose({ entries: [], default: "0" }, "0"), null);
});

test("custom.cfg is read where grub.cfg reads it, and only where it is there", () => {
  const text = vector("grub-debian12.cfg").toString();
  const custom = "menuentry 'mine' --id mine { linux /vmlinuz quiet; initrd /one /two; }\nset default=mine";
  const files = new Map([["/boot/grub/custom.cfg", custom]]);
  const choice = defaultGrubEntry(evaluateGrub(text, world({ files })));
  assert.deepEqual(choice?.entry.linux?.initrds, ["/one", "/two"]);
});

test("quoting, variables, word splitting", () => {
  const entry = (body: string) => evaluateGrub(`menuentry "a b" 'x' --id 'i d' {\n${body}\n}`, world()).entries[0];
  const options = (body: string) => entry(body)?.linux?.options;
  assert.equal(entry("linux /v")?.id, "i d");
  assert.equal(options(`linux /v a="b c" 'd  e'`), '"a=b c" "d  e"');
  assert.equal(options(`set o="x  y"; linux /v $o "$o" \${o}z`), 'x y "x  y" x yz');
  assert.equal(options(`linux /v $nothing "" end`), " end");
  assert.equal(options("linux /v \\$o \\\n  next # comment"), "$o next");
  assert.equal(options("linux ($root)/v"), "");
  assert.equal(entry("linux (hd0,gpt2)/v")?.linux?.kernel, "/v");
  assert.equal(options('linux /v "$2" $1'), "x a b");
  assert.equal(entry("chainloader +1")?.linux, null);
});

test("the file system comes from the last search that sets root, unless root is set by hand after it", () => {
  const uuid = (body: string) => evaluateGrub(`menuentry a { ${body}\nlinux /v }`, world()).entries[0]?.linux?.fsUuid;
  assert.equal(uuid("search --no-floppy --fs-uuid --set=root 12-34"), "12-34");
  assert.equal(uuid("search --no-floppy --fs-uuid --set=root --hint-bios=hd0,msdos1 --hint='hd0,msdos1'  ab"), "ab");
  assert.equal(uuid("search --fs-uuid ab --set root"), "ab");
  assert.equal(uuid("search --fs-uuid --set=root ab; set root='hd0,1'"), null);
  assert.equal(uuid("search --label --set=root boot"), null);
});

test("conditions, functions and loops decide as GRUB decides", () => {
  const byDefault = (text: string) =>
    kernelOf(`menuentry 0 { linux /zero }\nmenuentry 1 { linux /one }\n${text}`, {
      platform: "efi",
      environment: new Map([["boot_success", "1"]]),
    });
  const chosen = (condition: string) => byDefault(`load_env; if ${condition}; then set default=1; else default=0; fi`);
  const holds: [string, boolean][] = [
    ['[ "$boot_success" = "1" -o "$x" = "1" ]', true],
    ['[ "$boot_success" = "1" -a "$x" = "1" ]', false],
    ["[ -s $prefix/grubenv ]", true],
    ["test -f /nothing", false],
    ["! test -f /nothing", true],
    ["[ ! -f /nothing ]", true],
    ['[ "$grub_platform" = "efi" ]', true],
    ["[ x$feature_menuentry_id = xy ]", true],
    ["[ 10 -gt 9 ]", true],
    ["keystatus --shift", false],
    ["loadfont unicode", true],
    ["false", false],
    ['[ "$nothing" ]', false],
    ["[ ( a = b ) -o c ]", true],
  ];
  for (const [condition, expected] of holds) assert.equal(chosen(condition), expected ? "/one" : "/zero", condition);
  assert.equal(byDefault("function f { set default=$1; }\nf 1"), "/one");
  assert.equal(byDefault("for d in 0 1; do set default=$d; done"), "/one");
  assert.equal(byDefault("until [ x$n = xaaa ]; do n=a$n; done; if [ $n = aaa ]; then default=1; fi"), "/one");
});

test("blscfg adds entries and expands the variables of the environment", () => {
  const blsEntries = [
    { id: "new", title: "New", kernel: "/vmlinuz-2", initrds: ["/i-2 $tuned_initrd"], options: "$kernelopts x" },
    { id: "old", title: "Old", kernel: "/vmlinuz-1", initrds: ["/i-1"], options: "$kernelopts" },
  ];
  const environment = new Map([
    ["kernelopts", "root=/dev/sda ro"],
    ["saved_entry", "old"],
  ]);
  const menu = evaluateGrub(
    "load_env\nset default=$saved_entry\ninsmod blscfg\nblscfg",
    world({ blsEntries, environment }),
  );
  assert.equal(defaultGrubEntry(menu)?.entry.linux?.options, "root=/dev/sda ro");
  assert.deepEqual(menu.entries[0]?.linux, {
    kernel: "/vmlinuz-2",
    initrds: ["/i-2"],
    options: "root=/dev/sda ro x",
    fsUuid: null,
  });
});

test("what GRUB does not understand it leaves out, and goes on at the next line", () => {
  const entries = "menuentry 0 { linux /zero\n}\nmenuentry 1 { linux /one\n}\n";
  for (const [text, kernel] of [
    ["}\nset default=1", "/one"],
    ["a | b; set default=1", "/zero"],
    ["function f { set default=1 }\nset default=0", "/zero"],
    ["if true; then\nset default=1", "/zero"],
    ["set default=1; menuentry 'x", "/zero"],
    ["if true; then set x=$; fi\nset default=1", "/one"],
    ["menuentry x {\n}\nset default=1", "/one"],
  ] as const)
    assert.equal(kernelOf(`${entries}${text}\n`), kernel, text);
});

test("what would run away is refused", () => {
  const refused: [string, RegExp][] = [
    ["while true; do set a=b; done", /more than \d+ units of work/],
    [`a=xx; ${"a=$a$a$a$a$a$a$a$a;".repeat(8)}`, /more than \d+ units of work/],
    ["function f { f; }\nf", /deeper than/],
    ["if ".repeat(50), /nested deeper/],
    ["menuentry a { true\n}\n".repeat(1001), /more than 1000 entries/],
    ["x".repeat((1 << 20) + 1), /larger than/],
  ];
  for (const [text, message] of refused) {
    assert.throws(
      () => evaluateGrub(text, world()),
      (error) => isError(error, "grub/malformed") && message.test(error.message),
      text.slice(0, 60),
    );
  }
});

test("what is not known here makes the answer unknown, where it is on the way to it", () => {
  const plain = "menuentry a { linux /v\n}\n";
  const refused: [string, RegExp][] = [
    ["no_such_command\n", /calls "no_such_command"/],
    ["probe -s x -f $root\n", /calls "probe"/],
    ["function probe { true; }\nprobe\n", /calls "probe"/],
    ["insmod datehook\nif [ $HOUR = 1 ]; then set default=1; fi\n", /value of HOUR/],
    ["for k in /boot/vmlinuz-*; do set x=$k; done\n", /by a pattern/],
    ["load_env -f ($root)512+1\n", /blocks of a device/],
    [`menuentry $"title" { true\n}\n`, /translates/],
    ["if [ $root = hd0,gpt2 ]; then true; fi\n", /name of a device/],
    ["if [ /a -nt /b ]; then true; fi\n", /their times/],
    ["regexp --set=1:x '(a|b)*' ab\n", /repeats a group/],
    ["regexp '\\w' ab\n", /\\w in a regular expression/],
    ["blscfg (hd0,1)/loader\n", /BLS entries/],
  ];
  const isUnknown = (message: RegExp) => (error: unknown) =>
    isError(error, "grub/unknown") && message.test(error.message) && /cannot be told/.test(String(error.meaning));
  for (const [text, message] of refused) {
    assert.throws(() => kernelOf(text + plain), isUnknown(message), text);
    // In an entry that is not chosen it does not matter.
    if (!text.startsWith("menuentry") && !text.startsWith("function"))
      assert.equal(kernelOf(`${plain}menuentry b { ${text}}`), "/v", text);
  }
  assert.throws(() => kernelOf("menuentry a { read x\nlinux /v\n}"), isUnknown(/calls "read"/));
  const unseen = new Map([["(uuid=12-34)/x.cfg", "unseen"] as const]);
  const lead = "search --fs-uuid --set=root 12-34\nconfigfile /x.cfg\n";
  assert.throws(() => kernelOf(lead + plain, { other: unseen }), isUnknown(/cannot be read here/));
});

test("the initramfs that counts is the last one behind the last kernel", () => {
  const linux = (body: string) => defaultGrubEntry(evaluateGrub(`menuentry a { ${body}\n}`, world()))?.entry.linux;
  assert.deepEqual(linux("linux /a; initrd /i /j; initrd /k")?.initrds, ["/k"]);
  assert.deepEqual(linux("linux /a; initrd /i; linux /b")?.initrds, []);
  assert.deepEqual(linux("initrd /i; linux /b")?.initrds, []);
  assert.equal(linux("linux /a; chainloader +1"), null);
  assert.equal(linux("linux /a; initrd /i; boot; linux /b")?.kernel, "/a");
  assert.equal(linux("linux /a; exit"), null);
});

test("a configuration that boots by itself, and one that goes over to another", () => {
  const files = new Map([
    ["/boot/grub/x.cfg", "set default=1\nmenuentry 0 { linux /zero\n}\nmenuentry 1 { linux /one\n}"],
  ]);
  assert.equal(kernelOf("linux /v; initrd /i; boot\nmenuentry a { linux /b\n}"), "/v");
  assert.equal(kernelOf("menuentry a { linux /b\n}\nconfigfile $prefix/x.cfg", { files }), "/one");
  assert.equal(kernelOf("menuentry a { configfile $prefix/x.cfg\n}", { files }), "/one");
  assert.equal(kernelOf("exit\nmenuentry a { linux /b\n}"), undefined);
});

test("a default is read as GRUB's strtoul does, but for Fedora's, which looks for ids first", () => {
  const entries = ["zero", "one", "2 two", "0695"].map(
    (id) => `menuentry ${JSON.stringify(id)} { linux ${JSON.stringify(`/${id}`)}\n}\n`,
  );
  const chosen = (value: string, platform: "pc" | "efi" = "efi") =>
    kernelOf(`${entries.join("")}set default=${value}\n`, { platform });
  assert.equal(chosen("0x1"), "/one");
  assert.equal(chosen("1abc"), "/one");
  assert.equal(chosen("'2 two'"), "/2 two");
  assert.equal(chosen("0695"), "/zero"); // an octal 6
  assert.equal(chosen("4294967297"), "/one");
  assert.equal(chosen("4294967297", "pc"), "/zero");
  const blsEntries = ["new", "0695cf7b-4.18"].map((id) => ({
    id,
    title: id,
    kernel: `/${id}`,
    initrds: [],
    options: "",
  }));
  const fedora = (value: string) => kernelOf(`set default=${value}\nblscfg\n`, { blsEntries });
  assert.equal(fedora("0695cf7b-4.18"), "/0695cf7b-4.18");
  assert.equal(fedora("1"), "/0695cf7b-4.18");
  assert.equal(fedora("1x"), "/new");
  const { menu } = { menu: evaluateGrub(entries.join(""), world()) };
  // A person who says "1abc" means no 1.
  assert.equal(choose(menu, "1abc", "person")?.asNamed, false);
  assert.equal(choose(menu, "0695", "person")?.asNamed, false);
});

test("any text ends in a menu, in grub/malformed or in grub/unknown", () => {
  const words = [
    "if",
    "then",
    "fi",
    "else",
    "elif",
    "while",
    "do",
    "done",
    "menuentry",
    "submenu",
    "{",
    "}",
    "set",
    "a=b",
  ];
  const marks = [
    "$a",
    ["$", "{a}"].join(""),
    "'x'",
    '"$a y"',
    ";",
    "\n",
    "[",
    "]",
    "=",
    "function",
    "f",
    "for",
    "in",
    "linux",
    "/v",
    "\\",
  ];
  const script = fc.array(fc.constantFrom(...words, ...marks), { maxLength: 60 }).map((parts) => parts.join(" "));
  const environment = new Map([["default", "1>2"]]);
  fc.assert(
    fc.property(fc.oneof(script, fc.string({ maxLength: 300 })), (text) => {
      try {
        defaultGrubEntry(evaluateGrub(text, world({ environment })));
      } catch (error) {
        assert.ok(isError(error, "grub/malformed") || isError(error, "grub/unknown"), String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test("the environment block is read as grub-editenv wrote it", () => {
  const values = parseGrubenv(vector("grubenv"));
  assert.deepEqual(
    [...values],
    [
      ["saved_entry", "gnulinux-advanced-/dev/vda>gnulinux-6.1.0-49-amd64-advanced-/dev/vda"],
      ["odd", "a\\b"],
      ["next_entry", ""],
    ],
  );
  assert.throws(
    () => parseGrubenv(Buffer.from("nothing")),
    (error) => isError(error, "grub/malformed"),
  );
  fc.assert(fc.property(fc.string(), (tail) => void parseGrubenv(Buffer.from(`# GRUB Environment Block\n${tail}#`))));
  const read = (text: string) => [...parseGrubenv(Buffer.from(`# GRUB Environment Block\n${text}`))];
  assert.deepEqual(read("a=1\n#b=2\nc=3\\\n4\n###"), [
    ["a", "1"],
    ["c", "3\n4"],
  ]);
  assert.deepEqual(read("noequals\na=1\n###"), [["noequals\na", "1"]]);
  assert.deepEqual(read("a=1\nb=2"), [["a", "1"]]);
});
