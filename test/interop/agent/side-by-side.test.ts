import assert from "node:assert/strict";
import { copyFileSync, writeFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { fetchAdvertisement, sealToAdvertisement } from "../../../src/pins/tang/tang.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { clevisToken } from "../../support/clevis-token.ts";
import { nightlatch } from "../../support/serve.ts";
import { noTangd, startTangd } from "../../support/tangd.ts";
import { addSlot, addToken, makeFolder, makeVolume } from "../../support/volumes.ts";

const KEY = "YSBwYXNzcGhyYXNlIGFzIGxvbmcgYXMgdGhlIHJlYWwgb25lcyBhcmU";
const COUNT = 6;

/**
 * Gives nobody a key before `COUNT` ask for one at the same time: whoever asks one after the other
 * gets no answer at all.
 */
async function startGathering() {
  let waiting: ServerResponse[] = [];
  let gathered = 0;
  const server = createServer(({ method }, response) => {
    // What it advertises is asked for as well, and is not what is counted.
    if (method === "GET") return void response.writeHead(503, { connection: "close" }).end();
    waiting.push(response);
    response.on("close", () => {
      waiting = waiting.filter((other) => other !== response);
    });
    if (waiting.length < COUNT) return;
    gathered++;
    for (const one of waiting) one.writeHead(503, { connection: "close" }).end();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
    gathered: () => gathered,
    [Symbol.dispose]: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

test("check and status ask for all volumes side by side, and tell of them in crypttab's order", {
  skip: noTangd,
}, async () => {
  const folder = makeFolder();
  const at = (name: string) => join(folder, name);
  await using tangd = await startTangd();
  using server = await startGathering();
  const advertisement = await fetchAdvertisement(nodeSystem, tangd.url, { timeoutMs: 20_000 });
  const bare = makeVolume(folder, "bare.img", "luks2");
  addSlot(bare, KEY);
  addToken(bare, clevisToken(sealToAdvertisement(nodeSystem, server.url, advertisement, Buffer.from(KEY)), 1));
  const names = Array.from({ length: COUNT }, (_, index) => `v${index}`);
  for (const name of names) copyFileSync(bare, at(name));
  writeFileSync(at("crypttab"), names.map((name) => `${name} ${at(name)} /run/x.sock luks,_netdev,nofail\n`).join(""));
  const files = ["--crypttab", at("crypttab"), "--config", at("none.toml"), "--state", at("state"), "--json"];

  const checked = await nightlatch("check", ...files, "--fstab", at("none"), "--socket", "/run/x.sock");
  assert.equal(server.gathered(), 1, checked.stderr);
  const { findings } = JSON.parse(checked.stdout) as { findings: { code: string; subject: string }[] };
  const bindings = findings.filter(({ code }) => code === "check/binding");
  assert.deepEqual(
    bindings.map(({ subject }) => subject),
    names,
  );

  const shown = await nightlatch("status", ...files);
  assert.equal(server.gathered(), 2, shown.stderr);
  const { volumes } = JSON.parse(shown.stdout) as {
    volumes: { name: string; bindings: { error: { code: string } }[] }[];
  };
  assert.deepEqual(
    volumes.map(({ name }) => name),
    names,
  );
  assert.deepEqual(new Set(volumes.map(({ bindings }) => bindings[0]?.error.code)), new Set(["pin/busy"]));
});
