import assert from "node:assert/strict";
import { createECDH } from "node:crypto";
import { test } from "node:test";
import { Secret } from "../../../../src/core/secret.ts";
import { BatchExchange } from "../../../../src/server/exchange/batch.ts";
import { chooseExchange } from "../../../../src/server/exchange/choose.ts";
import { jobsIn, makeRoomForJobs } from "../../../../src/server/exchange/jobs.ts";
import { type ExchangeThread, POINT_BYTES } from "../../../../src/server/exchange/port.ts";
import { chooseExchangeThread } from "../../../../src/server/exchange/thread.ts";
import { HeldThread } from "../../../support/server/held-thread.ts";

const exchange = chooseExchange();
/** What would end a thread that does not answer. */
let alarm: (() => void) | null = null;
const clock = {
  sleep: (_delayMs: number) =>
    new Promise<void>((resolve) => {
      alarm = resolve;
    }),
};
const openThread = chooseExchangeThread(clock);
const withThread = { skip: openThread === null && "there is one processor, and so no thread" };

/** A scalar below the order, and a point of the curve. */
function draw(): { scalar: Buffer; point: Buffer } {
  const ecdh = createECDH("prime256v1");
  const point = ecdh.generateKeys();
  const key = ecdh.getPrivateKey();
  return { scalar: Buffer.concat([Buffer.alloc(32 - key.length), key]), point };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** One that is started already, as it is after the first time that many were asked for. */
async function started(thread: ExchangeThread, fewest = 3) {
  let opened = 0;
  const open = async () => {
    opened++;
    return thread;
  };
  const batch = new BatchExchange(exchange, open, { fewest, isPressed: () => true });
  const ask = (count: number) => {
    const drawn = Array.from({ length: count }, draw);
    const secrets = drawn.map(({ scalar }) => Secret.copy(scalar));
    const expected = drawn.map(({ scalar, point }) => exchange.multiply(scalar, point));
    const products = drawn.map(({ point }, index) => batch.multiply(secrets[index] as Secret, point));
    return { secrets, expected, products: Promise.all(products) };
  };
  const first = ask(fewest);
  assert.deepEqual(await first.products, first.expected);
  await turn();
  assert.equal(opened, 1, "it is started when many are asked for");
  return { batch, ask, opened: () => opened };
}

test("a few are multiplied at once, and no thread is asked", async () => {
  const thread = new HeldThread();
  const { batch, ask } = await started(thread);
  const { products, expected, secrets } = ask(2);
  assert.deepEqual(await products, expected);
  assert.equal(batch.settled(), null);
  assert.equal(thread.asked.length, 0);
  for (const secret of secrets) assert.throws(() => secret.reveal(), "its scalar is wiped");
});

test("many go to the thread together, and what waits for them waits until they were told", async () => {
  const thread = new HeldThread();
  const { batch, ask } = await started(thread);
  const { products, expected, secrets } = ask(5);
  await turn();
  assert.equal(jobsIn(thread.asked[0] as ArrayBuffer).length, 5);
  for (const secret of secrets) assert.throws(() => secret.reveal(), "only the thread has its scalar");
  const events: string[] = [];
  const told = products.then(async (given) => {
    for (let hop = 0; hop < 50; hop++) await null; // an answer's way to its socket
    events.push("answered");
    return given;
  });
  const settled = batch.settled()?.then(() => events.push("settled"));
  assert.ok(settled !== undefined);
  await turn();
  assert.deepEqual(events, []);
  thread.goOn();
  assert.deepEqual(await told, expected);
  await settled;
  assert.deepEqual(events, ["answered", "settled"]);
  assert.equal(batch.settled(), null);
});

test("where the event loop is not pressed, all is multiplied here, and no thread is started", async () => {
  let isPressed = false;
  const opened: HeldThread[] = [];
  const open = async () => {
    opened.push(new HeldThread());
    return opened[0] ?? null;
  };
  const batch = new BatchExchange(exchange, open, { fewest: 2, isPressed: () => isPressed });
  const ask = () =>
    Promise.all([draw(), draw()].map(({ scalar, point }) => batch.multiply(Secret.copy(scalar), point)));
  for (const pressed of [false, false, true]) {
    assert.equal(opened.length, 0);
    isPressed = pressed;
    assert.equal((await ask()).length, 2);
    await turn();
  }
  assert.equal(opened.length, 1);
  isPressed = false;
  assert.equal((await ask()).length, 2);
  assert.equal(opened[0]?.asked.length, 0);
});

test("what waits for one batch waits for those that were begun since, too", async () => {
  const thread = new HeldThread();
  const { batch, ask } = await started(thread);
  const first = ask(3);
  await turn();
  const second = ask(4);
  await turn();
  let isSettled = false;
  const settled = batch.settled()?.then(() => {
    isSettled = true;
  });
  thread.goOn();
  assert.deepEqual(await first.products, first.expected);
  await turn();
  await turn();
  assert.equal(isSettled, false);
  thread.goOn();
  assert.deepEqual(await second.products, second.expected);
  await settled;
  assert.equal(isSettled, true);
});

test("so many batches at most are with the thread, and the oldest makes room", async () => {
  const thread = new HeldThread();
  const { batch, ask } = await started(thread);
  const asked = [];
  while (batch.room() === null) {
    asked.push(ask(3));
    await turn();
  }
  assert.equal(asked.length, 4);
  let hasRoom = false;
  void batch.room()?.then(() => {
    hasRoom = true;
  });
  await turn();
  assert.equal(hasRoom, false);
  thread.goOn();
  await asked[0]?.products;
  await turn();
  await turn();
  assert.ok(hasRoom);
  assert.equal(batch.room(), null);
  for (const { products, expected } of asked.slice(1)) {
    thread.goOn();
    assert.deepEqual(await products, expected);
  }
});

test("a thread that fails takes what it had with it; afterwards all is multiplied here", async () => {
  const thread = new HeldThread();
  const { batch, ask, opened } = await started(thread);
  const lost = ask(4);
  await turn();
  thread.fail();
  await assert.rejects(lost.products, { message: "ended" });
  await batch.settled();
  const next = ask(4);
  assert.deepEqual(await next.products, next.expected);
  assert.equal(thread.asked.length, 1);
  assert.equal(opened(), 1);
});

test("where a thread cannot be had, or there is no processor for it, all is multiplied here", async () => {
  const failing = async () => {
    throw new Error("no threads are left");
  };
  for (const open of [null, async () => null, failing]) {
    const batch = new BatchExchange(exchange, open, { fewest: 1, isPressed: () => true });
    for (let round = 0; round < 3; round++) {
      const { scalar, point } = draw();
      assert.deepEqual(await batch.multiply(Secret.copy(scalar), point), exchange.multiply(scalar, point));
      await turn();
    }
    await batch[Symbol.asyncDispose]();
  }
});

test("one that is closed while its thread starts ends that thread", async () => {
  const thread = new HeldThread();
  const opening = Promise.withResolvers<ExchangeThread>();
  const batch = new BatchExchange(exchange, () => opening.promise, { fewest: 1, isPressed: () => true });
  const { scalar, point } = draw();
  await batch.multiply(Secret.copy(scalar), point);
  await batch[Symbol.asyncDispose]();
  opening.resolve(thread);
  await turn();
  assert.ok(thread.hasEnded);
});

test(
  "the thread itself: products in their places, no scalar left, and one that is no point among them",
  withThread,
  async () => {
    await using thread = await openThread?.();
    assert.ok(thread);
    for (let round = 0; round < 20; round++) {
      const drawn = Array.from({ length: 1 + round * 7 }, draw);
      const wrong = round % 2 === 0 ? -1 : Math.floor(drawn.length / 2);
      const memory = makeRoomForJobs(drawn.length);
      for (const [index, job] of jobsIn(memory).entries()) {
        const { scalar, point } = drawn[index] as { scalar: Buffer; point: Buffer };
        scalar.copy(job.scalar);
        if (index !== wrong) point.copy(job.point);
      }
      const asked = thread.multiplyAll(memory);
      assert.equal(memory.byteLength, 0, "nobody else holds it");
      for (const [index, job] of jobsIn(await asked).entries()) {
        const { scalar, point } = drawn[index] as { scalar: Buffer; point: Buffer };
        assert.ok(job.scalar.every((byte) => byte === 0));
        assert.deepEqual(job.point, index === wrong ? Buffer.alloc(POINT_BYTES) : exchange.multiply(scalar, point));
      }
    }
  },
);

test("one that is no point is refused alone, and the thread goes on", withThread, async () => {
  const thread = await openThread?.();
  assert.ok(thread);
  const { batch, ask } = await started(thread);
  const { scalar, point } = draw();
  const bad = batch.multiply(Secret.copy(scalar), Buffer.alloc(POINT_BYTES, 4));
  const good = ask(4);
  await assert.rejects(bad, RangeError);
  assert.deepEqual(await good.products, good.expected);
  assert.deepEqual(await batch.multiply(Secret.copy(scalar), point), exchange.multiply(scalar, point));
  await batch[Symbol.asyncDispose]();
});

test("a thread that has ended says so, before it is asked and while it is", withThread, async () => {
  const thread = await openThread?.();
  assert.ok(thread);
  const memory = makeRoomForJobs(4096); // a fifth of a second
  const drawn = draw();
  for (const job of jobsIn(memory)) {
    drawn.scalar.copy(job.scalar);
    drawn.point.copy(job.point);
  }
  const asked = assert.rejects(thread.multiplyAll(memory), { message: /has ended/ });
  await thread[Symbol.asyncDispose]();
  await asked;
  await assert.rejects(thread.multiplyAll(makeRoomForJobs(1)), { message: /has ended/ });
});

test("a thread that does not answer for long is ended, and who waits is told", withThread, async () => {
  const thread = await openThread?.();
  assert.ok(thread);
  const memory = makeRoomForJobs(4096);
  const drawn = draw();
  for (const job of jobsIn(memory)) {
    drawn.scalar.copy(job.scalar);
    drawn.point.copy(job.point);
  }
  const asked = assert.rejects(thread.multiplyAll(memory), { message: /has ended/ });
  alarm?.();
  await asked;
});
