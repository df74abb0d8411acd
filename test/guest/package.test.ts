import assert from "node:assert/strict";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { must, run } from "../../script/program.ts";
import { runInTree } from "./chroot.ts";
import { customise } from "./image.ts";
import { builtPackage } from "./package.ts";
import { dataGuest, type Suite } from "./recipe.ts";
import { onlyInFull, whyNoGuest } from "./requirements.ts";
import { treeArchive, withTree } from "./tree.ts";

const SUITES: readonly (readonly [Suite, string | false])[] = [
  ["bookworm", whyNoGuest()],
  ["trixie", onlyInFull()],
];

/** Every file and folder, its type, mode and owner. What dpkg and systemd's helpers note for themselves is not ours. */
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
  test(`${suite}: the package installs, runs, upgrades over itself and purges without a trace`, { skip }, async () => {
    const deb = await builtPackage();
    await withTree(await treeArchive(dataGuest(suite)), async (tree) => {
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
      await runInTree(
        tree,
        "mkdir -p /var/lib/nightlatch/machine && echo x > /var/lib/nightlatch/machine/identity.key",
      );
      await runInTree(tree, "dpkg --purge nightlatch");
      assert.equal(await survey(tree), before);
    });
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
    assert.match(said, /a key of nightlatch reboot --remember is still there/);
    for (const path of [dropIn, wanted]) assert.equal(lstatSync(path, { throwIfNoEntry: false }), undefined, path);
    assert.ok(existsSync(join(server, "store/store.sqlite")));
    assert.ok(existsSync(join(server, "store.id")));
    assert.equal(existsSync(join(machine, "identity.key")), false);

    // The disk that holds the store is away: the record beside the mount point is what tells the next start.
    rmSync(join(server, "store/store.sqlite"));
    assert.match(await purge(), /was kept/);
    assert.ok(existsSync(join(server, "store.id")));

    rmSync(join(server, "store.id"));
    assert.doesNotMatch(await purge(), /was kept/);
    assert.equal(existsSync(server), false);
  });
});

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
    const help = await must([join(import.meta.dirname, "../../bin/nightlatch"), "--help"]);
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
      ["env", "SOURCE_DATE_EPOCH=1700000000", join(import.meta.dirname, "../../script/package"), again],
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
