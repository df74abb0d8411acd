/** Who may administer: real users, by the kernel's word. And the commands as people meet them. */
import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { COMMAND, nightlatch, type Served, serve } from "../../support/serve.ts";
import { enrolAt, exchangeRaw, randomPoint, rawRequest } from "../../support/server/client.ts";

const NOBODY = 65534;
const GROUP = 64999;

const noUsers =
  spawnSync("setpriv", ["--reuid", String(NOBODY), "--clear-groups", "true"]).status === 0 &&
  spawnSync("unshare", ["-m", "true"]).status === 0
    ? false
    : "other users cannot be taken on here (not root?)";

/** One request of somebody else. */
function askAs(
  groups: readonly number[],
  server: Served,
  method: string,
  path: string,
): Promise<{ status: number; code: string }> {
  const credentials = ["--reuid", String(NOBODY), "--regid", String(NOBODY)];
  const member = groups.length === 0 ? ["--clear-groups"] : ["--groups", groups.join()];
  const curl = [
    "curl",
    "-s",
    "-X",
    method,
    "-w",
    "\n%{http_code}",
    "--unix-socket",
    server.admin,
    `http://x/api/v1/${path}`,
  ];
  return new Promise((resolve) => {
    execFile("setpriv", [...credentials, ...member, ...curl], (_error, stdout) => {
      const [body = "", status = ""] = stdout.split(/\n(?=\d+$)/);
      const json = body.startsWith("{") ? (JSON.parse(body) as { error?: string }) : {};
      resolve({ status: Number(status), code: json.error ?? "" });
    });
  });
}

async function withHome(use: (home: string) => Promise<void>): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), "nightlatch-admin-"));
  chmodSync(home, 0o755);
  try {
    await use(home);
  } finally {
    rmSync(home, { recursive: true });
  }
}

const TIME = String.raw`20\d\d-\d\d-\d\d \d\d:\d\d:\d\dZ`;

test("root administers, the group operates but cannot destroy, nobody else gets a word in", { skip: noUsers }, () =>
  withHome(async (home) => {
    const group = join(home, "group");
    copyFileSync("/etc/group", group);
    writeFileSync(group, `nightlatch:x:${GROUP}:\n`, { flag: "a" });
    const inGroup: [string, ...string[]] = [
      "unshare",
      "-m",
      "sh",
      "-c",
      `mount --bind "${group}" /etc/group && exec "$@"`,
      "sh",
    ];
    await using server = await serve({ home, through: inGroup });
    const { mode, uid, gid } = statSync(server.admin);
    assert.deepEqual({ mode: mode & 0o777, uid, gid }, { mode: 0o660, uid: 0, gid: GROUP });
    await enrolAt(server, "nas");

    assert.deepEqual(await askAs([GROUP], server, "GET", "machines"), { status: 200, code: "" });
    assert.deepEqual(await askAs([4, GROUP], server, "POST", "machines/nas/lock"), { status: 200, code: "" });
    assert.deepEqual(await askAs([GROUP], server, "POST", "machines/nas/unlock"), { status: 200, code: "" });
    assert.deepEqual(await askAs([GROUP], server, "POST", "machines/nas/revoke"), {
      status: 403,
      code: "admin/denied",
    });
    assert.equal((await askAs([], server, "GET", "machines")).status, 0, "the file's mode keeps them out");

    chmodSync(server.admin, 0o666); // even so
    for (const [method, path] of [
      ["GET", "machines"],
      ["GET", "status"],
      ["GET", "audit"],
      ["POST", "machines/nas/lock"],
      ["POST", "invites"],
    ] as const) {
      assert.deepEqual(await askAs([], server, method, path), { status: 403, code: "admin/denied" }, path);
      assert.deepEqual(await askAs([4], server, method, path), { status: 403, code: "admin/denied" }, path);
    }
    const entry = await server.json("audit", "verify");
    assert.equal(entry["machines"], 1);
    assert.equal((await server.json("machine", "show", "nas"))["machine"] instanceof Object, true);
  }),
);

test("without the group, the socket is its owner's alone", { skip: noUsers }, () =>
  withHome(async (home) => {
    await using server = await serve({ home });
    if (spawnSync("getent", ["group", "nightlatch"]).status !== 0)
      assert.equal(statSync(server.admin).mode & 0o777, 0o600);
    assert.equal((await askAs([], server, "GET", "machines")).status, 0);
  }),
);

test("a folder in which others could replace the socket is refused", () =>
  withHome(async (home) => {
    const open = join(home, "open");
    mkdirSync(open);
    chmodSync(open, 0o777);
    const args = ["--data", join(home, "data"), "--listen", "127.0.0.1:0", "--admin", join(open, "admin.sock")];
    const { status, stderr } = await nightlatch("serve", ...args);
    assert.equal(status, 1);
    assert.match(
      stderr,
      /the admin socket cannot be made at .*open: other users could replace what lies in it \[admin\/socket\]/,
    );
  }));

test("the machine commands, as they are typed", () =>
  withHome(async (home) => {
    await using server = await serve({ home });
    const run = (...words: string[]) => nightlatch(...words, "--admin", server.admin);

    const none = await run("machine", "list");
    assert.deepEqual(
      [none.status, none.stdout],
      [0, "No machine is enrolled. Make an invite: nightlatch machine invite NAME\n"],
    );
    const invited = await run("machine", "invite", "nas", "--expires", "90m");
    assert.equal(invited.status, 0);
    assert.match(invited.stdout, /^nli1\.[A-Za-z0-9_-]+\n$/, "the line alone, so that it can be piped");
    assert.match(invited.stderr, /Good for one machine until .*Paste on nas:\n {2}nightlatch bind DEV latch INVITE\n/);
    assert.match((await run("machine", "invite", "nas")).stderr, /The earlier invite for nas is void now/);
    await enrolAt(server, "nas");
    await enrolAt(server, "pi");
    const list = await run("machine", "list");
    assert.match(
      list.stdout,
      /^NAME {2}STATE {3}POLICY {2}LAST HEARD {2}LAST RELEASE {2}TO {2}ID\nnas {3}active {2}always {2}never {7}never {9}- {3}[\w-]{43}\npi {4}active/,
    );
    const show = await run("machine", "show", "nas");
    assert.match(
      show.stdout,
      /^nas: active, enrolled .*\nid [\w-]{43}\npolicy always, last heard never\nLATCH {19}STATE {3}VOLUME {4}LAST RELEASE {2}TO\n[\w-]{22} {2}active {2}7d5b2c1e {2}never/,
    );

    const said = (...words: string[]) => run("machine", ...words).then(({ stdout }) => stdout);
    assert.match(await said("policy", "nas", "lease"), /^nas is released within a lease alone: /);
    assert.equal(await said("policy", "nas", "lease"), "The policy of nas was lease already.\n");
    assert.match(await said("lease", "nas", "15m"), new RegExp(`^nas is released until ${TIME}, each latch once.\n$`));
    assert.match(await said("show", "nas"), new RegExp(`\npolicy lease, open until ${TIME}, last heard never\n`));
    assert.match((await run("machine", "lease", "nas", "15 m")).stderr, /15 m is not a time/);
    assert.match((await run("machine", "lease", "nas", "30s")).stderr, /at least a minute .*\[lease\/bad-time\]/);
    assert.match((await run("machine", "lease", "pi", "15m")).stderr, /policy is always \[lease\/not-needed\]/);
    assert.match((await run("machine", "policy", "nas", "never")).stderr, /there is no policy "never"/);
    assert.equal(await said("policy", "nas", "always"), "nas is released whenever it asks.\n");
    const tail = (await run("audit", "tail", "--machine", "nas")).stdout;
    assert.match(
      tail,
      /policy lease, by user \d+\n.*got a lease by user \d+, until .*\n.*policy always, by user \d+\n/,
    );

    assert.equal(
      (await run("machine", "lock", "nas")).stdout,
      "nas is locked: nothing is released until it is unlocked.\n",
    );
    assert.equal((await run("machine", "lock", "nas")).stdout, "nas was locked already.\n");
    assert.equal((await run("machine", "unlock", "nas")).stdout, "nas is unlocked: it is released again.\n");
    const some = await run("machine", "revoke", "nosuch", "nas", "pi");
    assert.equal(some.status, 1);
    assert.match(
      some.stderr,
      /there is no machine "nosuch" \[machine\/unknown\]\n {2}See which there are: nightlatch machine list/,
    );
    assert.equal(
      some.stdout,
      "nas is revoked: its keys are destroyed, nothing will ever be released again.\n" +
        "pi is revoked: its keys are destroyed, nothing will ever be released again.\n",
    );
    const json = await nightlatch("machine", "revoke", "nosuch", "nas", "--json", "--admin", server.admin);
    assert.equal(json.status, 1);
    const { ok, results } = JSON.parse(json.stdout) as {
      ok: boolean;
      results: { ok: boolean; error?: { code: string } }[];
    };
    assert.deepEqual(
      [ok, results.map((result) => result.error?.code ?? result.ok)],
      [false, ["machine/unknown", true]],
    );

    const latch = String(((await server.json("machine", "show", "nas"))["latches"] as { id: string }[])[0]?.id);
    assert.match(
      (await run("machine", "lock", "--latch", latch)).stderr,
      /the latch was revoked.*\[machine\/revoked\]/,
    );
    for (const [words, status, told] of [
      [["machine", "lock"], 2, /an argument is missing/],
      [["machine", "invite", "a b"], 1, /"a b" is not a name for a machine \[machine\/bad-name\]/],
      [["machine", "invite", "x", "--expires", "soon"], 2, /--expires soon is not a time/],
      [["machine", "invite", "x", "--expires", "1s"], 1, /\[invite\/bad-lifetime\]/],
      [["machine", "show", "../audit"], 1, /there is no machine "..\/audit"/],
      [["machine", "unlock", "nas"], 1, /the machine nas was revoked.*\[machine\/revoked\]/],
    ] as const) {
      const outcome = await run(...words);
      assert.equal(outcome.status, status, words.join(" "));
      assert.match(outcome.stderr, told);
    }
    await server.end("SIGTERM");
    const gone = await run("machine", "list");
    assert.equal(gone.status, 1);
    assert.match(
      gone.stderr,
      /no server answers at .*admin\.sock \[admin\/unreachable\]\n {2}Nothing was changed\.\n {2}Start it/,
    );
  }));

test("which machine got a key when: in the list, and line by line as it comes", () =>
  withHome(async (home) => {
    await using server = await serve({ home });
    const run = (...words: string[]) => nightlatch(...words, "--admin", server.admin);
    const nas = await enrolAt(server, "nas");
    const ask = async () => {
      const request = rawRequest("POST", nas.recovery, JSON.stringify(randomPoint()));
      return (await exchangeRaw(server.url, request)).status;
    };
    const follower = spawn(COMMAND, ["audit", "tail", "-f", "-n", "1", "--admin", server.admin], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const followed = createInterface(follower.stdout)[Symbol.asyncIterator]();
    const following = async () => String((await followed.next()).value);
    assert.match(await following(), / nas {11}enrolled from /, "it is there from now on");
    assert.equal(await ask(), 200);
    await run("machine", "lock", "nas");
    assert.equal(await ask(), 403);
    await run("machine", "invite", "web");
    assert.match((await run("machine", "uninvite", "web")).stdout, /^The invite for web is void: nobody can enrol/);
    const told = [
      `^${TIME}  nas           enrolled from 127\\.0\\.0\\.1, volume 7d5b2c1e$`,
      `^${TIME}  nas           released to 127\\.0\\.0\\.1, volume 7d5b2c1e$`,
      `^${TIME}  nas           locked by user \\d+$`,
      `^${TIME}  nas           refused to 127\\.0\\.0\\.1, volume 7d5b2c1e: it is locked \\[machine/locked\\]$`,
      `^${TIME}  web           invited by user \\d+, until ${TIME}$`,
      `^${TIME}  web           invite taken back by user \\d+$`,
    ].map((line) => new RegExp(line));
    const tailed = (await run("audit", "tail", "--lines", "6")).stdout.trimEnd().split("\n");
    for (const [index, line] of told.entries()) assert.match(tailed[index] ?? "", line);
    for (const line of told.slice(1)) assert.match(await following(), line);
    follower.kill("SIGINT");
    assert.deepEqual(await once(follower, "exit"), [0, null], "an interruption ends it well");

    assert.match(
      (await run("machine", "list")).stdout,
      new RegExp(`\nnas   locked  always  never       ${TIME}  127.0.0.1  `),
    );
    assert.match(
      (await run("machine", "show", "nas")).stdout,
      /\nVolume 7d5b2c1e: refused last at .*, 127.0.0.1 \[machine\/locked\]\n/,
    );
    assert.equal((await run("audit", "tail", "--machine", "web")).stdout.trimEnd().split("\n").length, 2);
    const lines = (await nightlatch("audit", "tail", "-n", "2", "--json", "--admin", server.admin)).stdout;
    const kinds = lines
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { kind: string }).kind);
    assert.deepEqual(kinds, ["invite", "invite-void"]);

    for (const [words, status, said] of [
      [["machine", "uninvite", "web"], 1, /there is no open invite for "web" \[invite\/unknown\]/],
      [["machine", "uninvite", "nas"], 1, /the invite for nas was used: there is a machine nas \[invite\/used\]/],
      [["audit", "tail", "--machine", "nosuch"], 1, /there is no machine "nosuch" \[machine\/unknown\]/],
      [["audit", "tail", "-n", "x"], 2, /--lines x is not a number of entries \[usage\/wrong\]/],
    ] as const) {
      const outcome = await run(...words);
      assert.equal(outcome.status, status, words.join(" "));
      assert.match(outcome.stderr, said);
    }
    await run("machine", "invite", "late");
    assert.match(
      (await run("machine", "lock", "late")).stderr,
      /Take the invite back: nightlatch machine uninvite late/,
    );
    const revoked = await run("machine", "revoke", "late", "--yes");
    assert.deepEqual(
      [revoked.status, revoked.stdout],
      [0, "Nothing has enrolled as late. The invite for it is void: nothing will.\n"],
    );
    assert.match((await run("machine", "revoke", "late", "--yes")).stderr, /there is no machine "late"/);
    assert.equal((await server.json("audit", "verify"))["ok"], true);
  }));

test("who reads a tail and goes, ends it", () =>
  withHome(async (home) => {
    await using server = await serve({ home });
    const follow = `${COMMAND} audit tail -f --admin ${server.admin} | head -n 1`;
    const shell = spawn("sh", ["-c", follow], { stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(shell, "close");
    assert.match(String((await once(shell.stdout, "data"))[0]), /the store was made\n$/);
    // It finds out when it has something to tell.
    const more = setInterval(() => void nightlatch("machine", "invite", "nas", "--admin", server.admin), 1_000);
    await ended;
    clearInterval(more);
  }));

const noActivation =
  spawnSync("systemd-socket-activate", ["--version"]).status === 0 ? false : "systemd-socket-activate is not installed";

test("a socket that systemd passes is served in the place of --listen", { skip: noActivation }, () =>
  withHome(async (home) => {
    const passed = join(home, "http.sock");
    const activator = spawn(
      "systemd-socket-activate",
      ["-l", passed, COMMAND, "serve", "--data", join(home, "data"), "--admin", join(home, "admin.sock")],
      { stdio: "ignore" },
    );
    try {
      const health = () => spawnSync("curl", ["-s", "--unix-socket", passed, "http://x/healthz"], { encoding: "utf8" });
      while (health().status !== 0) await new Promise((resolve) => setTimeout(resolve, 20)); // until it has bound its socket
      assert.equal(health().stdout, '{"ok":true}');
    } finally {
      activator.kill();
      await once(activator, "exit");
    }
  }),
);

/** What a process sends to the notification socket of a unit, up to the first message. */
async function firstMessage(listener: string, socket: string): Promise<string> {
  const receiver = spawn("socat", ["-u", listener, "STDOUT"], { stdio: ["ignore", "pipe", "inherit"] });
  const message = once(receiver.stdout, "data").then(([data]) => String(data));
  while (!readFileSync("/proc/net/unix", "latin1").includes(socket)) await new Promise((done) => setTimeout(done, 20));
  await using _server = await serve({ through: ["env", `NOTIFY_SOCKET=${socket}`] });
  const text = await message;
  receiver.kill();
  return text;
}

test("systemd is told when the server is ready, by a path or an abstract name", async () => {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-notify-"));
  const path = join(folder, "notify");
  assert.equal(await firstMessage(`UNIX-RECV:${path}`, path), "READY=1");
  const name = `${folder.slice(1)}/abstract`;
  assert.equal(await firstMessage(`ABSTRACT-RECV:${name}`, `@${name}`), "READY=1");
  rmSync(folder, { recursive: true });
});
