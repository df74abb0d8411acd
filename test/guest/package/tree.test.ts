import assert from "node:assert/strict";
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { must, run } from "../../../script/program.ts";
import { runInTree } from "../harness/chroot.ts";
import { customise } from "../harness/image.ts";
import { judged, tellVersions } from "../harness/moving.ts";
import { builtPackage } from "../harness/package.ts";
import { dataGuest, type Suite } from "../harness/recipe.ts";
import { onlyInFull, whyNoGuest } from "../harness/requirements.ts";
import { treeArchive, withTree } from "../harness/tree.ts";

const SUITES: readonly (readonly [Suite, string | false])[] = [
  ["bookworm", whyNoGuest()],
  ["trixie", onlyInFull()],
  ["forky", onlyInFull()],
];

/**
 * Every file and folder, its type, mode and owner. What dpkg and systemd's helpers note for
 * themselves is not ours.
 */
const survey = (tree: string): Promise<string> =>
  must([
    "find",
    tree,
    "-xdev",
    ...SKIPPED.flatMap((path) => ["-path", `${tree}${path}`, "-prune", "-o"]),
    "-printf",
    "%P %y %m %U\\n",
  ]);
const SKIPPED = ["/var/lib/dpkg", "/var/log", "/var/cache", "/tmp", "/dev", "/proc", "/sys"];

for (const [suite, skip] of SUITES) {
  test(`${suite}: the package installs, runs, upgrades over itself and purges without a trace`, { skip }, (t) =>
    judged(t, suite, () => installInTree(t, suite)),
  );
}

async function installInTree(t: TestContext, suite: Suite): Promise<void> {
  const deb = await builtPackage();
  await withTree(await treeArchive(dataGuest(suite)), async (tree) => {
    await tellVersions(t, suite, (script) => runInTree(tree, script));
    const before = await survey(tree);
    await customise(tree, deb, {}, []);
    const said = await runInTree(tree, "nightlatch --version && nightlatch --help && nightlatch agent --help");
    assert.match(said, /^nightlatch \d+\.\d+\.\d+\n/);
    assert.match(said, /^usage: nightlatch agent /m);
    assert.equal((await runInTree(tree, "systemctl is-enabled nightlatch-agent.socket")).trim(), "enabled");
    assert.match(await runInTree(tree, SERVE), /^The invite for nas is open until /m);
    assert.match(await runInTree(tree, VERIFY), /^verified\n$/);

    await runInTree(tree, "sed -i 's/^#deadline.*/deadline = \"30s\"/' /etc/nightlatch/agent.toml");
    await runInTree(tree, "systemctl disable nightlatch-agent.socket");
    await customise(tree, deb, {}, []);
    assert.match(await runInTree(tree, "cat /etc/nightlatch/agent.toml"), /^deadline = "30s"$/m);
    assert.equal((await runInTree(tree, "systemctl is-enabled nightlatch-agent.socket || true")).trim(), "disabled");

    await runInTree(tree, "dpkg --remove nightlatch");
    assert.equal(existsSync(join(tree, "usr/lib/nightlatch")), false);
    assert.ok(existsSync(join(tree, "etc/nightlatch/agent.toml")), "a conffile outlives the package");
    await runInTree(tree, "mkdir -p /var/lib/nightlatch/machine && echo x > /var/lib/nightlatch/machine/identity.key");
    await runInTree(tree, "dpkg --purge nightlatch");
    assert.equal(await survey(tree), before);
  });
}

test("purging keeps a key server's store, and says so", { skip: whyNoGuest() }, async () => {
  const deb = await builtPackage();
  await withTree(await treeArchive(dataGuest("bookworm")), async (tree) => {
    const machine = join(tree, "var/lib/nightlatch/machine");
    const server = join(tree, "var/lib/nightlatch-server");
    const purge = async (): Promise<string> => {
      await customise(tree, deb, {}, []);
      return runInTree(tree, "dpkg --purge nightlatch 2>&1");
    };
    mkdirSync(join(server, "store"), { recursive: true });
    mkdirSync(machine, { recursive: true });
    writeFileSync(join(server, "store/store.sqlite"), "keys");
    writeFileSync(join(server, "store.id"), "store");
    writeFileSync(join(machine, "identity.key"), "machine");
    // As nightlatch reboot --remember and --make-default leave them.
    writeFileSync(join(machine, "remembered.key"), "key");
    const etc = join(tree, "etc/systemd/system");
    const [dropIn, wanted] = [
      join(etc, "systemd-reboot.service.d/nightlatch.conf"),
      join(etc, "multi-user.target.wants/nightlatch-stage.service"),
    ];
    mkdirSync(join(dropIn, ".."));
    writeFileSync(dropIn, "[Unit]\nSuccessAction=none\n");
    symlinkSync("/lib/systemd/system/nightlatch-stage.service", wanted);
    const said = await purge();
    assert.match(said, /nightlatch: \/var\/lib\/nightlatch-server was kept\. It holds the keys of a key server/);
    assert.match(said, /the key of nightlatch reboot --remember is destroyed now/);
    for (const path of [dropIn, wanted]) assert.equal(lstatSync(path, { throwIfNoEntry: false }), undefined, path);
    assert.ok(existsSync(join(server, "store/store.sqlite")));
    assert.ok(existsSync(join(server, "store.id")));
    assert.equal(existsSync(join(machine, "identity.key")), false);

    // The disk that holds the store is away: the record beside the mount point is what tells the
    // next start.
    rmSync(join(server, "store/store.sqlite"));
    assert.match(await purge(), /was kept/);
    assert.ok(existsSync(join(server, "store.id")));

    rmSync(join(server, "store.id"));
    assert.doesNotMatch(await purge(), /was kept/);
    assert.equal(existsSync(server), false);
  });
});

test("a removal tells what stays and how it is taken off; a person may stop it, and a purge tells of the key it destroys", {
  skip: whyNoGuest(),
}, async () => {
  const deb = await builtPackage();
  await withTree(await treeArchive(dataGuest("bookworm")), async (tree) => {
    const inTree = (script: string) => runInTree(tree, `set -e\n${script}`);
    const key = join(tree, "var/lib/nightlatch/machine/remembered.key");
    const slots = async () => {
      const dump = "cryptsetup luksDump --dump-json-metadata";
      const said = await inTree(`for name in a b; do ${dump} /root/$name.img | tr -d ' \\n\\t'; echo; done`);
      const volumes = said
        .trim()
        .split("\n")
        .map((text) => JSON.parse(text) as Record<string, object>);
      return volumes.map(({ keyslots, tokens }) => [Object.keys(keyslots ?? {}), Object.keys(tokens ?? {}).length]);
    };
    copyFileSync(deb, join(tree, "root/nightlatch.deb"));
    const first = await inTree("dpkg -i /root/nightlatch.deb 2>&1");
    assert.match(
      first,
      /^nightlatch: nothing is set up yet\. On a key server: .*nightlatch bind DEV latch INVITE\..*$/m,
    );
    assert.equal((await inTree("nightlatch unbind --list 2> /dev/null")).trim(), "");
    assert.doesNotMatch(await inTree("dpkg -i /root/nightlatch.deb 2>&1"), /set up yet/, "an upgrade");
    assert.doesNotMatch(await inTree(`dpkg --remove nightlatch 2>&1`), /stays/, "nothing does");
    await inTree("dpkg -i /root/nightlatch.deb");

    await inTree(`${KEYS_UP}\n${MAKE_VOLUMES}\n${KEYS_DOWN}`);
    const made = [
      [["0", "1"], 1],
      [["0", "1"], 0],
    ];
    assert.deepEqual(await slots(), made);
    const [token, list] = await Promise.all([
      inTree("cryptsetup luksDump /root/a.img | sed -n 's/^ *\\([0-9]*\\): clevis/\\1/p'"),
      inTree("nightlatch unbind --list"),
    ]);
    const id = token.trim();
    assert.deepEqual(
      list
        .replace(/http:\S+\/latch\/[\w-]{22}/, "URL")
        .trim()
        .split("\n"),
      [
        "/root/a.img stays bound: latch URL, keyslot 1",
        `  To remove it: nightlatch unbind /root/a.img --token ${id}`,
        `  Without Nightlatch: cryptsetup luksKillSlot /root/a.img 1 && cryptsetup token remove --token-id ${id} /root/a.img`,
        "/root/b.img keeps the remembered key's keyslot 1",
        "  To remove it: nightlatch reboot --forget",
        "  Without Nightlatch: cryptsetup luksKillSlot /root/b.img 1",
      ],
    );

    // A person at a terminal stops it: all is as it was, and the package stays as it was installed.
    const asked = await inTree(`${TERMINAL}\n(sleep 1; echo yes) | ${atTerminal("dpkg --purge nightlatch")} || true`);
    for (const line of list.trim().split("\n")) assert.ok(unwrapped(asked).includes(line.trim()), asked);
    assert.match(unwrapped(asked), /socket: those volumes ask for their passphrase from the next boot on/);
    assert.match(asked, /Keep Nightlatch for now.*\[yes\/no\]/);
    assert.match(asked, /the removal was stopped, as you asked; nothing was changed/);
    assert.match(await inTree("dpkg -s nightlatch | grep ^Status:"), / installed$/m);
    assert.deepEqual([existsSync(key), await slots()], [true, made]);
    await inTree("nightlatch unbind --list");

    // Nobody is there: it is told first, and goes on; nothing of it is destroyed.
    const removed = await inTree("dpkg --remove nightlatch 2>&1");
    assert.ok(removed.includes(`nightlatch: this stays when Nightlatch goes:\n${list}`), removed);
    assert.deepEqual([existsSync(key), await slots()], [true, made]);

    // A person who says no, then a purge of what is left: the key's keyslots are named before it
    // goes.
    await inTree("dpkg -i /root/nightlatch.deb");
    const gone = await inTree(`${TERMINAL}\n(sleep 1; echo no) | ${atTerminal("dpkg --remove nightlatch")}`);
    assert.match(gone, /Keep Nightlatch for now/);
    assert.equal(existsSync(key), true);
    const purged = await inTree("dpkg --purge nightlatch 2>&1");
    assert.match(
      purged,
      /is destroyed now\..*:\n\/root\/b\.img keeps the remembered key's keyslot 1\n {2}Without Nightlatch: /s,
    );
    assert.doesNotMatch(purged, /reboot --forget|stays bound/);
    assert.equal(existsSync(key), false);
    assert.deepEqual(await slots(), made);

    // What was printed is done, to the letter, with the passphrase that stays.
    for (const [, line] of list.matchAll(/Without Nightlatch: (.*)/g)) await inTree(`printf pass | (${line})`);
    assert.deepEqual(await slots(), [
      [["0"], 0],
      [["0"], 0],
    ]);
    await inTree(`rm /root/*.img\ndpkg -i /root/nightlatch.deb\n${KEYS_UP}\n${MAKE_VOLUMES}
      line=$(nightlatch unbind --list | sed -n 's/.*To remove it: \\(nightlatch unbind .*\\)/\\1/p')
      printf pass | $line --key-file -\n${KEYS_DOWN}`);
    assert.deepEqual(await slots(), [
      [["0"], 0],
      [["0", "1"], 0],
    ]);
  });
});

const KEYS_UP = `rm -rf /tmp/keys; mkdir -m 700 /tmp/keys
nightlatch serve --data /tmp/keys/store --listen 127.0.0.1:0 --admin /tmp/keys/admin.sock &
server=$!
until [ -S /tmp/keys/admin.sock ]; do kill -0 $server; sleep 0.1; done`;
const KEYS_DOWN = "kill $server; wait $server || true";

/** One bound to a latch, one with a remembered key's keyslot, both in crypttab. */
const MAKE_VOLUMES = `
format="cryptsetup luksFormat -q --type luks2 --luks2-keyslots-size 2m --pbkdf pbkdf2 --pbkdf-force-iterations 1000"
for name in a b; do truncate -s 4M /root/$name.img; printf pass | $format /root/$name.img -; done
printf 'va /root/a.img /run/nightlatch/agent.sock luks,_netdev\nvb /root/b.img none luks\n' > /etc/crypttab
printf pass | nightlatch bind /root/a.img latch "$(nightlatch machine invite nas --admin /tmp/keys/admin.sock)" --key-file -
key=/var/lib/nightlatch/machine/remembered.key
head -c 64 /dev/urandom > $key
chmod 400 $key
printf pass > /root/pass
cryptsetup luksAddKey -q --key-file /root/pass --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /root/b.img $key`;

/** Pseudo-terminals of the tree's own. */
const TERMINAL = "mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts; ln -sf pts/ptmx /dev/ptmx";
const atTerminal = (command: string) => `script -qec "stty cols 200; DEBIAN_FRONTEND=teletype ${command}" /dev/null`;
/** As debconf breaks lines. */
const unwrapped = (text: string) => text.replaceAll("\r", "").replaceAll(/\n +/g, "\n");

/** Guests leave out documentation. */
const VERIFY = "dpkg --verify nightlatch | grep -v /usr/share/doc/ || true; echo verified";

/** The server with its native modules, and a command that asks it. */
const SERVE = `mkdir -m 700 /tmp/keys
nightlatch serve --data /tmp/keys/store --listen 127.0.0.1:0 --admin /tmp/keys/admin.sock &
server=$!
until [ -S /tmp/keys/admin.sock ]; do kill -0 $server; sleep 0.1; done
nightlatch machine invite nas --admin /tmp/keys/admin.sock
nightlatch machine list --admin /tmp/keys/admin.sock
kill $server
wait $server
rm -r /tmp/keys
`;

async function withUnpacked(use: (tree: string) => Promise<void>): Promise<void> {
  const tree = mkdtempSync(join(tmpdir(), "nightlatch-test-"));
  try {
    await must(["dpkg-deb", "-x", await builtPackage(), tree]);
    await use(tree);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

test("the manual page renders without a warning and names every command", { skip: whyNoGuest() }, () =>
  withUnpacked(async (tree) => {
    const page = join(tree, "usr/share/man/man1/nightlatch.1.gz");
    const rendered = await run([
      "env",
      "MANWIDTH=100",
      "LC_ALL=C.UTF-8",
      "man",
      "--warnings",
      "-E",
      "UTF-8",
      "-l",
      page,
    ]);
    assert.equal(rendered.stderr, "");
    assert.equal(rendered.status, 0);
    const help = await must([join(import.meta.dirname, "../../../bin/nightlatch"), "--help"]);
    const commands = [...help.matchAll(/^ {2}([a-z]+(?: [a-z]+)?) {2,}/gm)].map(([, name]) => String(name));
    assert.ok(commands.length > 5);
    for (const command of commands) assert.match(rendered.stdout, new RegExp(`^ +nightlatch ${command} `, "m"));
  }),
);

test("completion in bash: commands, their second words, options, files", { skip: whyNoGuest() }, () =>
  withUnpacked(async (tree) => {
    const script = join(tree, "usr/share/bash-completion/completions/nightlatch");
    const complete = async (...words: string[]): Promise<string[]> => {
      const line = `. ${script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _nightlatch; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return (await must(["bash", "-c", line, "bash", "nightlatch", ...words])).trim().split("\n");
    };
    assert.deepEqual(await complete("se"), ["serve"]);
    assert.ok((await complete("")).includes("machine"));
    assert.deepEqual(await complete("machine", "rev"), ["revoke"]);
    assert.deepEqual(await complete("serve", "--li"), ["--listen"]);
    assert.deepEqual(await complete("machine", "list", "--js"), ["--json"]);
    assert.deepEqual(await complete("agent", "--crypttab", `${tree}/usr/b`), [`${tree}/usr/bin`]);
    assert.deepEqual(await complete("nonsense", "--x"), [""]);
  }),
);

test("the same checkout makes the same package", { skip: onlyInFull() }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-test-"));
  try {
    const again = join(folder, "again.deb");
    await must(
      ["env", "SOURCE_DATE_EPOCH=1700000000", join(import.meta.dirname, "../../../script/package"), again],
      600_000,
    );
    await must(["cmp", again, await builtPackage()]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

const noLintian = existsSync("/usr/bin/lintian") ? false : "lintian is not installed";

test("lintian has nothing to say", { skip: onlyInFull() || noLintian }, async () => {
  const ended = await run(["lintian", "--allow-root", "--tag-display-limit", "0", await builtPackage()], 300_000);
  assert.deepEqual({ status: ended.status, stdout: ended.stdout }, { status: 0, stdout: "" });
});
