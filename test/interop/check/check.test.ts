import assert from "node:assert/strict";
import { chmodSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { startAgent } from "../../support/agent/process.ts";
import { nightlatch, serve } from "../../support/serve.ts";
import { makeFolder, makeVolume, PASSPHRASE } from "../../support/volumes.ts";

interface Report {
  readonly ok: boolean;
  readonly volumes: readonly string[];
  readonly findings: readonly { readonly code: string; readonly severity: string; readonly remedy: string }[];
}

test("check follows a volume from unbound to bound, locked, and a server that is away", async () => {
  const folder = makeFolder();
  const at = (name: string) => join(folder, name);
  const image = makeVolume(folder, "disk.img", "luks2");
  const keyFile = at("passphrase");
  writeFileSync(keyFile, PASSPHRASE, { mode: 0o600 });
  await using server = await serve();
  await using agent = await startAgent({ folder });
  writeFileSync(at("fstab"), "/dev/mapper/data /srv ext4 _netdev,nofail 0 2\n");
  const crypttab = (options: string) => writeFileSync(at("crypttab"), `data ${image} ${agent.socket} ${options}\n`);
  crypttab("luks,_netdev,nofail");

  const check = async (): Promise<{ status: number; report: Report; codes: string[] }> => {
    const files = ["--crypttab", at("crypttab"), "--fstab", at("fstab"), "--config", at("agent.toml")];
    const { status, stdout } = await nightlatch(
      "check",
      ...files,
      "--socket",
      agent.socket,
      "--state",
      at("state"),
      "--json",
    );
    const report = JSON.parse(stdout) as Report;
    // Of this machine's own units nothing is known, nor whether systemd runs on it.
    const mine = report.findings.filter(({ code }) => !/^check\/(?:agent-unit|cycle)$/.test(code));
    return { status, report, codes: mine.map(({ severity, code }) => `${severity} ${code}`) };
  };

  assert.deepEqual((await check()).codes, ["error check/no-binding"]);

  const { invite } = (await server.json("machine", "invite", "nas")) as { invite: string };
  const bound = await nightlatch("bind", image, "latch", invite, "--key-file", keyFile, "--state", at("state"));
  assert.equal(bound.status, 0, bound.stderr);
  const good = await check();
  assert.deepEqual(good.codes, []);
  assert.deepEqual(good.report.volumes, ["data"]);
  if (!existsSync("/run/systemd/system")) assert.equal(good.status, 0);

  const printed = await nightlatch("crypttab", image, "data", "--socket", agent.socket);
  assert.equal(
    printed.stdout,
    `# /etc/crypttab\ndata ${image} ${agent.socket} luks,_netdev,nofail\n` +
      "# /etc/fstab\n/dev/mapper/data /mnt/data auto defaults,_netdev,nofail 0 2\n",
  );

  crypttab("luks");
  const local = await check();
  assert.equal(local.status, 1);
  assert.deepEqual(local.codes, ["error check/no-netdev"]);
  assert.ok(
    local.report.findings.some(({ remedy }) => remedy.endsWith(`data ${image} ${agent.socket} luks,_netdev,nofail`)),
  );
  crypttab("luks,_netdev,nofail");

  await server.json("machine", "lock", "nas");
  assert.deepEqual((await check()).codes, ["error check/binding"]);
  await server.json("machine", "unlock", "nas");

  writeFileSync(at("agent.toml"), "deadline = nonsense\n");
  chmodSync(at("agent.toml"), 0o666);
  assert.deepEqual((await check()).codes, ["error check/exposed", "error check/config"]);
  writeFileSync(at("agent.toml"), `[volume.data]\nexec = ["/nowhere/to/be/found"]\n`);
  chmodSync(at("agent.toml"), 0o600);
  assert.deepEqual((await check()).codes, ["error check/no-command"]);
  writeFileSync(at("agent.toml"), "");

  await server.end("SIGTERM");
  const away = await check();
  assert.deepEqual(away.codes, ["error check/binding"]);
  assert.equal(away.status, 1);
});

test("a crypttab without volumes has nothing to check; crypttab wants a sane name", async () => {
  const folder = makeFolder();
  const none = await nightlatch("check", "--crypttab", join(folder, "none"), "--fstab", join(folder, "none"));
  assert.match(none.stdout, /^crypttab names no LUKS volume\.$/m);
  const image = makeVolume(folder, "disk.img", "luks2");
  const odd = await nightlatch("crypttab", image, "a b");
  assert.equal(odd.status, 2);
  assert.match(odd.stderr, /"a b" is no name for a volume \[usage\/wrong\]/);
  const unbound = await nightlatch("crypttab", image);
  assert.match(unbound.stdout, /^luks-\S+ \/\S+disk\.img \/run\/nightlatch\/agent\.sock luks$/m);
  assert.match(unbound.stderr, /has no binding yet/);
});
