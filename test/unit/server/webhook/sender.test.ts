import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Secret } from "../../../../src/core/secret.ts";
import type { RequestNotice } from "../../../../src/server/service/memory/notices.ts";
import { readWebhookKey } from "../../../../src/server/webhook/key.ts";
import { WebhookSender } from "../../../../src/server/webhook/sender.ts";
import { nodeSystem } from "../../../../src/system/node.ts";
import { UID } from "../../../support/server/harness.ts";

const KEY = Buffer.alloc(32, 7);
const NOTICE: RequestNotice = {
  type: "request.new",
  request: "5f0c91ab",
  machine: "hsm",
  from: "192.0.2.7",
  approvedBy: [1000],
  expiresMs: 1_800_000_000_000,
};

interface Got {
  readonly id: string;
  readonly isSigned: boolean;
  readonly body: string;
}

/** A receiver that answers with these, one after the other, and then with 204. */
async function receiver(statuses: number[]) {
  const got: Got[] = [];
  const waiters: (() => void)[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      const [id, time, signature] = ["id", "timestamp", "signature"].map((name) =>
        String(request.headers[`webhook-${name}`]),
      );
      const mac = createHmac("sha256", KEY).update(`${id}.${time}.${body}`).digest("base64");
      const isNow = Math.abs(Number(time) - Date.now() / 1000) < 300;
      got.push({ id: id ?? "", isSigned: signature === `v1,${mac}` && isNow, body });
      response.writeHead(statuses.shift() ?? 204).end();
      for (const wake of waiters.splice(0)) wake();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    got,
    until: async (count: number) => {
      while (got.length < count) await new Promise<void>((resolve) => waiters.push(resolve));
    },
    [Symbol.dispose]: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** A sender whose pauses pass at once, and what it did not get across. */
function sender(url: string) {
  const lost: string[] = [];
  const pauses: number[] = [];
  const sleep = async (delayMs: number) => void pauses.push(delayMs);
  const system = { ...nodeSystem, sleep };
  const made = new WebhookSender(system, { url, key: Secret.copy(KEY), server: "store" }, (error) =>
    lost.push((error as Error).message),
  );
  return { made, lost, pauses };
}

test("a notice arrives signed, and is tried again under the same id until it does", async () => {
  using hook = await receiver([500, 302]);
  const { made, lost, pauses } = sender(hook.url);
  made.send(NOTICE);
  made.send({ ...NOTICE, type: "request.approved" });
  await hook.until(4);
  await made.stop();
  assert.ok(hook.got.every(({ isSigned }) => isSigned));
  const [first, second, third, fourth] = hook.got;
  assert.deepEqual([second?.id, third?.id], [first?.id, first?.id]);
  assert.notEqual(fourth?.id, first?.id);
  const { type, data } = JSON.parse(String(fourth?.body));
  const { expiresMs: _, type: __, ...told } = NOTICE;
  assert.deepEqual(
    [type, data],
    ["request.approved", { server: "store", ...told, expires: "2027-01-15T08:00:00.000Z" }],
  );
  assert.deepEqual([lost, pauses], [[], [1_000, 10_000]]);
});

test("a site that is held by itself is told with how many machines fell silent", async () => {
  using hook = await receiver([]);
  const { made } = sender(hook.url);
  made.send({ type: "site.held", site: "home", silent: 9, of: 10 });
  await hook.until(1);
  await made.stop();
  const { type, data } = JSON.parse(String(hook.got[0]?.body));
  assert.deepEqual([type, data], ["site.held", { server: "store", site: "home", silent: 9, of: 10 }]);
});

test("one that nobody takes is given up, and the next goes out", async () => {
  using hook = await receiver([500, 500, 500, 500, 500]);
  const { made, lost, pauses } = sender(hook.url);
  made.send(NOTICE);
  made.send({ ...NOTICE, type: "request.denied" });
  await hook.until(6);
  await made.stop();
  assert.deepEqual(pauses, [1_000, 10_000, 60_000, 300_000]);
  assert.equal(lost.length, 1);
  assert.match(String(lost[0]), /did not reach 127\.0\.0\.1:\d+: it was answered 500$/);
});

test("no more wait than there is room for, and none once the server stops", async () => {
  const never = { request: () => new Promise<never>(() => {}) };
  const lost: string[] = [];
  const system = { ...nodeSystem, ...never };
  const full = new WebhookSender(system, { url: "http://127.0.0.1:9/", key: Secret.copy(KEY), server: "" }, (error) =>
    lost.push((error as Error).message),
  );
  for (let count = 0; count < 70; count++) full.send(NOTICE);
  assert.deepEqual(
    lost,
    Array.from({ length: 6 }, () => "a notice did not reach 127.0.0.1:9: too many wait"),
  );

  using hook = await receiver([500]);
  const system2 = { ...nodeSystem };
  const stopped = new WebhookSender(system2, { url: hook.url, key: Secret.copy(KEY), server: "" }, (error) =>
    assert.fail(String(error)),
  );
  stopped.send(NOTICE);
  stopped.send(NOTICE);
  await hook.until(1);
  await stopped.stop();
  stopped.send(NOTICE);
  assert.equal(hook.got.length, 1);
});

test("the key is base64 of 24 to 64 bytes, in a file of the server's own", async () => {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-webhook-"));
  try {
    const path = join(folder, "key");
    const read = async (text: string) => {
      writeFileSync(path, text, { mode: 0o600 });
      using key = await readWebhookKey(nodeSystem, path, UID);
      return Buffer.from(key.reveal());
    };
    assert.deepEqual(await read(`${KEY.toString("base64")}\n`), KEY);
    assert.deepEqual(await read(`whsec_${KEY.toString("base64")}`), KEY);
    for (const text of ["", "short", Buffer.alloc(23).toString("base64"), Buffer.alloc(65).toString("base64")])
      await assert.rejects(read(text), { code: "webhook/key" }, text);
    await read(KEY.toString("base64"));
    chmodSync(path, 0o640);
    await assert.rejects(readWebhookKey(nodeSystem, path, UID), { code: "webhook/key" });
    await assert.rejects(readWebhookKey(nodeSystem, join(folder, "none"), UID), { code: "file/missing" });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
