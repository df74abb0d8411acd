/** Two servers that ship, each the other's witness, and a log that is rewritten. */
import assert from "node:assert/strict";
import { cpSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { askServer } from "../../../src/cli/operator-client.ts";
import type { JsonObject } from "../../../src/formats/json/json.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { configureAgent, startAgent } from "../../support/agent/process.ts";
import { nightlatch, type Served, serve } from "../../support/serve.ts";
import { makeFolder, makeVolume, opens, PASSPHRASE } from "../../support/volumes.ts";

const COPIED = ["data", "data.id"];

type Listed = {
  readonly log: string;
  readonly witness: string;
  readonly witnesses: { readonly size: number; readonly failure: { readonly error: string } | null }[];
  readonly logs: { readonly origin: string; readonly size: number }[];
};

/** As the commands ask; each would cost a process. */
const askAs = (server: Served, method: "GET" | "POST", path: readonly string[], body?: JsonObject) =>
  askServer(nodeSystem, server.admin, method, path, body);
const list = async (server: Served) => (await askAs(server, "GET", ["witnesses"])) as unknown as Listed;

/** Waits until something is so; its test runner ends what never is. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(100);
}

test("a server cannot rewrite its log behind the back of the one that cosigns it", async () => {
  const folder = makeFolder();
  const at = (name: string) => join(folder, name);
  const home = at("server");
  const state = at("state");
  writeFileSync(at("passphrase"), PASSPHRASE);
  await using other = await serve();
  let server: Served = await serve({ home });
  const listen = new URL(server.url).host;
  const again = async (change: () => void) => {
    await server.end("SIGTERM");
    change();
    rmSync(server.admin, { force: true });
    server = await serve({ home, listen });
  };
  try {
    const own = (await server.json("witness", "list")) as unknown as Listed;
    const its = await list(other);
    await other.json("witness", "cosign", own.log);
    await server.json("witness", "ask", other.url, its.witness);
    await askAs(server, "POST", ["witnesses"], { verifier: its.log });
    await askAs(other, "POST", ["witnesses"], { verifier: own.witness, url: server.url });
    await until(async () => (await list(server)).logs[0]?.size !== 0 && (await list(other)).logs[0]?.size !== 0);

    const image = makeVolume(folder, "disk", "luks2");
    const { invite } = await askAs(server, "POST", ["invites"], { name: "nas", lifetimeMs: 3_600_000 });
    const bound = await nightlatch(
      "bind",
      image,
      "latch",
      String(invite),
      "--key-file",
      at("passphrase"),
      "--state",
      state,
    );
    assert.equal(bound.status, 0, bound.stderr);
    await again(() => {
      for (const name of COPIED) cpSync(join(home, name), at(`${name}.old`), { recursive: true });
    });

    configureAgent(folder, { backup: image }, `[witness]\nkeys = ["${its.witness}"]\nmissing = "refuse"\n`);
    await using agent = await startAgent({ folder });
    assert.ok(opens(image, await agent.ask("backup"), 1));
    await agent.said(/backup: \S+'s log is signed up to entry \d+ by nightlatch\/[\w-]{22}\/witness/);
    const verified = await nightlatch("audit", "verify", "--admin", server.admin);
    assert.match(verified.stdout, /Cosigned by nightlatch\/[\w-]{22}\/witness, of its first \d+ entries, /);

    // Its administrator puts back a copy of all that there is; the machine has forgotten it.
    await again(() => {
      for (const name of COPIED) {
        rmSync(join(home, name), { recursive: true });
        renameSync(at(`${name}.old`), join(home, name));
      }
    });
    for (const name of readdirSync(state)) if (name.startsWith("log-")) rmSync(join(state, name));
    assert.ok(opens(image, await agent.ask("backup"), 1));
    await until(async () => (await list(server)).witnesses[0]?.failure?.error === "witness/inconsistent");
    const asked = await nightlatch("receipt", "show", "--state", state, "--config", at("agent.toml"));
    assert.equal(asked.status, 1);
    assert.match(asked.stdout, /is not signed by the witnesses that this machine wants: .*\[receipt\/not-cosigned\]/);

    const [log] = (await list(other)).logs;
    assert.equal((await other.json("witness", "remove", log?.origin ?? ""))["removed"], "log");
    await agent.stop();
  } finally {
    await server[Symbol.asyncDispose]();
  }
});
