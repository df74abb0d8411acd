/** The agent, the server that ships, and a store that somebody puts back. */
import assert from "node:assert/strict";
import { cpSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { configureAgent, startAgent } from "../../support/agent/process.ts";
import { nightlatch, type Served, serve } from "../../support/serve.ts";
import { makeFolder, makeVolume, opens, PASSPHRASE } from "../../support/volumes.ts";

const COPIED = ["data", "data.id"];

test("each release is proved to the machine; a server whose store was put back is refused until that is accepted", async () => {
  const folder = makeFolder();
  const at = (name: string) => join(folder, name);
  const home = at("server");
  const state = at("state");
  writeFileSync(at("passphrase"), PASSPHRASE);
  let server: Served = await serve({ home });
  const listen = new URL(server.url).host;
  const again = async (change: () => void) => {
    await server.end("SIGTERM");
    change();
    rmSync(server.admin, { force: true });
    server = await serve({ home, listen });
  };
  try {
    const image = makeVolume(folder, "disk", "luks2");
    const { invite } = (await server.json("machine", "invite", "nas")) as { invite: string };
    const bound = await nightlatch("bind", image, "latch", invite, "--key-file", at("passphrase"), "--state", state);
    assert.equal(bound.status, 0, bound.stderr);
    await again(() => {
      for (const name of COPIED) cpSync(join(home, name), at(`${name}.old`), { recursive: true });
    });

    configureAgent(folder, { backup: image });
    await using agent = await startAgent({ folder });
    assert.ok(opens(image, await agent.ask("backup"), 1));
    await agent.said(/backup: \S+'s log of \d+ entries has its release as entry \d+, proved/);
    const shown = await nightlatch("receipt", "show", "--state", state);
    assert.equal(shown.status, 0, shown.stderr);
    assert.match(
      shown.stdout,
      /: last released \S+ \S+Z, to 127\.0\.0\.1 \(entry \d+ of \d+, proved\)\. The log has grown/,
    );

    await again(() => {
      for (const name of COPIED) {
        rmSync(join(home, name), { recursive: true });
        renameSync(at(`${name}.old`), join(home, name));
      }
    });
    const asked = await nightlatch("receipt", "show", "--state", state);
    assert.equal(asked.status, 1);
    assert.match(asked.stdout, /shows another log than before, and does not say why \[receipt\/went-back\]/);
    const [remedy] = /nightlatch receipt accept nas$/m.exec(asked.stdout) ?? [];
    assert.ok(remedy !== undefined, asked.stdout);

    assert.equal((await agent.ask("backup")).length, 0);
    await agent.said(/backup: no key after .*\[receipt\/went-back\]/);
    const accepted = await nightlatch(...remedy.split(" ").slice(1), "--state", state);
    assert.equal(accepted.status, 0, accepted.stderr);
    assert.ok(opens(image, await agent.ask("backup"), 1));
    await agent.stop();
  } finally {
    await server[Symbol.asyncDispose]();
  }
});
