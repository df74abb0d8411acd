/**
 * What a large store costs at a start, in a revocation and at the first start of this version:
 * script/node bench/start.ts [MACHINES...]. A machine has one latch, with keys and an advertisement
 * of the usual lengths, and some entries of the log; one has 64. The store lies under TMPDIR. No
 * peer: tangd keeps nothing.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Entry } from "../src/server/audit/entry.ts";
import { CommitQueue } from "../src/server/service/queue.ts";
import { type OpenedStore, openFolder } from "../src/server/store/folder/folder.ts";
import type { Cells } from "../src/server/store/keys/cells.ts";
import type { Transaction } from "../src/server/store/port.ts";
import { nodeSystem } from "../src/system/node.ts";
import { makeOld } from "../test/support/server/old-store.ts";

const ENTRIES = 20;
const BATCH = 250;
const MANY = 64;
const counts = process.argv.slice(2).map(Number);
const owner = { uid: process.geteuid?.() ?? 0 };
const id = (lengthBytes: number) => randomBytes(lengthBytes).toString("base64url");
const thumbprint = (text: string) => createHash("sha256").update(text).digest("base64url");

for (const count of counts.length > 0 ? counts : [10_000, 100_000]) {
  const home = mkdtempSync(join(tmpdir(), "nightlatch-start-"));
  try {
    console.log(await measure(join(home, "data"), count));
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

async function measure(folder: string, count: number): Promise<string> {
  const first = await openFolder(nodeSystem, folder, owner);
  const many = await fill(first, count);
  await first.store.close();
  const starts: number[] = [];
  for (let round = 0; round < 3; round++) {
    const [tookMs, opened] = await timed(() => openFolder(nodeSystem, folder, owner));
    starts.push(tookMs);
    await opened.store.close();
  }
  const opened = await openFolder(nodeSystem, folder, owner);
  const [revokeMs] = await timed(() =>
    opened.store.transact(async (transaction) => {
      for (const latch of many) await transaction.destroyKeys(latch);
      for (const latch of many) await transaction.setLatch(latch, "revoked");
    }),
  );
  const walKiB = statSync(join(folder, "store.sqlite-wal")).size / 1024;
  const [scrubMs] = await timed(() => opened.store.scrub());
  await opened.store.close();
  makeOld(folder);
  const before = process.cpuUsage();
  const [upgradeMs, upgraded] = await timed(() => openFolder(nodeSystem, folder, owner));
  const cpu = process.cpuUsage(before);
  await upgraded.store.close();
  const sizeMiB = statSync(join(folder, "store.sqlite")).size / (1 << 20);
  const [best = 0] = starts.sort((a, b) => a - b);
  return (
    `${count} machines, ${sizeMiB.toFixed(0)} MiB: start ${best.toFixed(0)} ms; ${MANY} latches revoked in ${revokeMs.toFixed(0)} ms, ` +
    `${walKiB.toFixed(0)} KiB of WAL, scrubbed in ${scrubMs.toFixed(0)} ms; ` +
    `first start of an older version's store ${upgradeMs.toFixed(0)} ms, ${((cpu.user + cpu.system) / 1000).toFixed(0)} of CPU`
  );
}

/** @returns the latches of the machine that has many */
async function fill({ store, storeId, cells, identity }: OpenedStore, count: number): Promise<string[]> {
  const queue = new CommitQueue(store, { storeId, key: identity }, nodeSystem, {
    settled: () => null,
    room: () => null,
  });
  const many: string[] = [];
  for (let done = 0; done < count; done += BATCH) {
    await queue.submit(async (transaction) => {
      const entries: Entry[] = [];
      for (let index = done; index < Math.min(done + BATCH, count); index++) {
        const machine = thumbprint(`machine ${index}`);
        const row = {
          id: machine,
          name: `appliance-${index}`,
          state: "active",
          epoch: 1,
          enrolledMs: Date.now(),
          policy: "always",
          approval: null,
          limits: null,
          leases: 0,
          lease: null,
          alive: null,
          seenMs: null,
          seenFrom: null,
          group: null,
          goneIn: null,
          goneFrom: null,
          source: "default",
        } as const;
        await transaction.insertMachine(row);
        const latches = Array.from({ length: index === 0 ? MANY : 1 }, () => id(16));
        if (index === 0) many.push(...latches);
        for (const latch of latches) await insertLatch(cells, transaction, machine, latch);
        const [latch = ""] = latches;
        for (let number = 0; number < ENTRIES; number++) {
          entries.push({ kind: "release", at: Date.now(), machine, latch, epoch: 1, from: "192.0.2.1" });
        }
      }
      return { outcome: null, entries };
    });
  }
  return many;
}

async function insertLatch(cells: Cells, transaction: Transaction, machineId: string, latch: string): Promise<void> {
  const cell = cells.take();
  const row = {
    id: latch,
    machineId,
    volume: id(16),
    state: "active",
    epoch: 1,
    nonce: id(16),
    createdMs: Date.now(),
  } as const;
  const key = (purpose: "exchange" | "signing", plainBytes: number) => {
    return {
      purpose,
      epoch: 1,
      kid: id(32),
      publicJwk: id(140),
      wrapped: cells.wrap(cell, randomBytes(plainBytes), { purpose, id: latch, epoch: 1 }),
    };
  };
  const rows = [key("exchange", 32), key("signing", 138)];
  await transaction.insertLatch({ ...row, advertisement: id(560), cell, use: null }, rows);
}

async function timed<T>(work: () => Promise<T>): Promise<[number, T]> {
  const startMs = performance.now();
  const outcome = await work();
  return [performance.now() - startMs, outcome];
}
