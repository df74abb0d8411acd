/**
 * The master key sealed by the real systemd-creds, with a host key of the test's own, and a server
 * that gets it as from systemd.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { COMMAND, type Outcome, serve } from "../../support/serve.ts";
import { enrolAt, exchangeRaw, randomPoint, rawRequest } from "../../support/server/client.ts";

const NAME = "nightlatch-server.master.key";

/**
 * Runs in a mount namespace of its own, where systemd's secrets and sealed files are folders of the
 * test.
 */
const around = (home: string): readonly [string, ...string[]] => {
  for (const name of ["systemd", "sealed"]) mkdirSync(join(home, name), { recursive: true, mode: 0o700 });
  const script =
    `mount --bind "${home}/systemd" /var/lib/systemd && mkdir -p /etc/credstore.encrypted && ` +
    `mount --bind "${home}/sealed" /etc/credstore.encrypted && exec "$@"`;
  return ["unshare", "-m", "sh", "-c", script, "sh"];
};

function run(home: string, ...args: readonly string[]): Outcome {
  const [program, ...before] = around(home);
  const { status, stdout, stderr } = spawnSync(program, [...before, ...args], { encoding: "utf8" });
  return { status: status ?? -1, stdout, stderr };
}

function whyNot(): string | false {
  if (process.geteuid?.() !== 0) return "needs root for a mount namespace";
  const home = mkdtempSync(join(tmpdir(), "nightlatch-seal-"));
  try {
    const { status, stderr } = run(home, "systemd-creds", "setup");
    return status === 0 ? false : `systemd-creds makes no host key here: ${stderr.trim()}`;
  } finally {
    rmSync(home, { recursive: true });
  }
}

test("seal, restart, remove the plain one: nothing goes before the server has the sealed one", {
  skip: whyNot(),
}, async () => {
  const home = mkdtempSync(join(tmpdir(), "nightlatch-seal-"));
  const [sealed, plain] = [join(home, "sealed", NAME), join(home, "data/master.key")];
  const credentials = join(home, "credentials");
  const latch = await (async () => {
    await using server = await serve({ home });
    return await enrolAt(server, "nas");
  })();
  const key = readFileSync(plain);
  const seal = (...args: readonly string[]) =>
    run(home, COMMAND, "store", "seal", "--data", join(home, "data"), "--admin", join(home, "admin.sock"), ...args);
  try {
    const first = seal("--json");
    assert.equal(first.status, 0, first.stderr);
    assert.deepEqual(JSON.parse(first.stdout), {
      ok: true,
      sealed: `/etc/credstore.encrypted/${NAME}`,
      sealedBy: "host-key",
      removed: false,
    });
    assert.match(first.stderr, /no TPM.*credential\.secret/);
    assert.deepEqual(readFileSync(plain), key);
    const blob = readFileSync(sealed);
    assert.ok(!blob.includes(key));
    assert.equal(seal().status, 0, "can be repeated");
    assert.deepEqual(readFileSync(sealed), blob);

    // Without a server, or with one that does not have it, nothing is removed.
    assert.match(seal("--remove-plain", "--yes").stderr, /admin\/unreachable/);
    {
      await using server = await serve({ home });
      assert.equal((await server.json("audit", "verify"))["ok"], true);
      const refused = seal("--remove-plain", "--yes");
      assert.match(refused.stderr, /does not use the sealed master key of this store \[store\/not-sealed\]/);
    }
    assert.deepEqual(readFileSync(plain), key);

    // As systemd does with LoadCredentialEncrypted=.
    mkdirSync(credentials);
    const unsealed = spawnSync(around(home)[0], [
      ...around(home).slice(1),
      "systemd-creds",
      "decrypt",
      `--name=${NAME}`,
      `/etc/credstore.encrypted/${NAME}`,
      "-",
    ]);
    assert.deepEqual(unsealed.stdout, key);
    writeFileSync(join(credentials, NAME), unsealed.stdout, { mode: 0o400 });
    const withCredential = ["env", `CREDENTIALS_DIRECTORY=${credentials}`] as const;
    {
      await using server = await serve({ home, through: withCredential });
      const removed = seal("--remove-plain", "--yes", "--json");
      assert.equal(removed.status, 0, removed.stderr);
      assert.equal(existsSync(plain), false);
      assert.equal(seal("--remove-plain", "--yes").status, 0, "can be repeated");
      await server.end("SIGTERM");
    }
    await using server = await serve({ home, through: withCredential });
    const body = JSON.stringify({ alg: "ECMR", ...randomPoint() });
    assert.equal((await exchangeRaw(server.url, rawRequest("POST", latch.recovery, body))).status, 200);
    await server.end("SIGTERM");
    await assert.rejects(serve({ home }), /its master key \(master\.key\) is missing/);
  } finally {
    rmSync(home, { recursive: true });
  }
});

test("serve says which master key it uses, and warns of one that lies there in plain or is another's", async () => {
  const home = mkdtempSync(join(tmpdir(), "nightlatch-seal-"));
  const credentials = join(home, "credentials");
  mkdirSync(credentials);
  const said = async (): Promise<Record<string, unknown>> => {
    const args = [
      "serve",
      "--data",
      join(home, "data"),
      "--listen",
      "127.0.0.1:0",
      "--admin",
      join(home, "admin.sock"),
      "--json",
    ];
    const env = { ...process.env, CREDENTIALS_DIRECTORY: credentials };
    const child = spawn(COMMAND, args, { env, stdio: ["ignore", "pipe", "ignore"] });
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    child.kill("SIGTERM");
    await once(child, "close");
    return JSON.parse(String(line)) as Record<string, unknown>;
  };
  try {
    const first = await said();
    assert.deepEqual([first["master"], first["created"], first["warnings"]], ["file", true, []]);
    copyFileSync(join(home, "data/master.key"), join(credentials, NAME));
    const both = await said();
    assert.equal(both["master"], "credential");
    assert.match(String(both["warnings"]), /master\.key still lies beside the store.*--remove-plain/);
    writeFileSync(join(credentials, NAME), Buffer.alloc(32, 9));
    const other = await said();
    assert.equal(other["master"], "file");
    assert.match(String(other["warnings"]), /is not the one of this store, and was not used/);
  } finally {
    rmSync(home, { recursive: true });
  }
});
