// @ts-nocheck
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, openSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { askForKey, fetchKey } from "../../../script/key-client.ts";
import { openKeySocket } from "../../../src/agent/key-socket.ts";
import { isError } from "../../../src/core/errors.ts";
import { Secret } from "../../../src/core/secret.ts";
import { makeListener } from "../../support/agent/activator.ts";

const folder = mkdtempSync(join(tmpdir(), "nightlatch-key-socket-"));
after(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;
const freshPath = () => join(folder, `${count++}`, "agent.sock");

interface Opened extends AsyncDisposable {
  readonly path: string;
  readonly socket: Awaited<ReturnType<typeof openKeySocket>>;
  readonly asked: string[];
  readonly strangers: string[];
  readonly busy: number[];
  /** Of keys that were found: whether they were taken. */
  readonly ends: boolean[];
}

type Answer = (volume: string, signal: AbortSignal) => Promise<Secret | null>;

/** @param fd a socket that listens on the path already, which is closed with it */
async function open(answer: Answer, path = freshPath(), fd?: number): Promise<Opened> {
  const ends: boolean[] = [];
  const asked: string[] = [];
  const strangers: string[] = [];
  const busy: number[] = [];
  const socket = await openKeySocket({
    listen: fd === undefined ? { path } : { fd },
    answer: async (volume, signal) => {
      asked.push(volume);
      const secret = await answer(volume, signal);
      return secret === null ? null : { secret, onEnd: (taken) => ends.push(taken) };
    },
    onStranger: (why) => strangers.push(why.replace(/^process \d+ of user \d+ /, "")),
    onBusy: (connections) => busy.push(connections),
  });
  return { path, socket, asked, strangers, busy, ends, [Symbol.asyncDispose]: () => socket.close() };
}

const keyOf = async (volume: string) => Secret.take(Buffer.from(`key of ${volume}`));

describe("the key socket", () => {
  test("gives the key of the volume that the client's name tells, no byte more, and wipes it", async () => {
    const secret = await keyOf("volume1");
    await using opened = await open(async () => secret);
    const key = await fetchKey({ socket: opened.path, volume: "volume1" });
    assert.equal(key.toString(), "key of volume1");
    assert.deepEqual(opened.asked, ["volume1"]);
    assert.throws(() => secret.reveal(), { message: "secret was wiped" });
    assert.deepEqual(opened.busy, [1, 0]);
    assert.deepEqual(opened.ends, [true]);
  });

  test("serves a client that leaves its writing side open", async () => {
    await using opened = await open(keyOf);
    const client = askForKey({ socket: opened.path, volume: "v", keepOpen: true });
    const [chunk] = await once(client, "data");
    assert.equal(String(chunk), "key of v");
    await once(client, "end");
    client.destroy();
  });

  test("answers a refusal, and a defect of its own, with the end of the file", async () => {
    await using opened = await open(async (volume) => {
      if (volume === "broken") throw new TypeError("defect");
      return null;
    });
    assert.equal((await fetchKey({ socket: opened.path, volume: "refused" })).length, 0);
    assert.equal((await fetchKey({ socket: opened.path, volume: "broken" })).length, 0);
  });

  test("closes at once on who does not ask as systemd-cryptsetup does", async () => {
    await using opened = await open(keyOf);
    for (const name of [
      null,
      "cryptsetup/v",
      "zz/cryptsetup/v",
      "1/cryptsetup/a/b",
      "1/cryptsetup/",
      Buffer.of(0xff),
    ]) {
      assert.equal((await fetchKey({ socket: opened.path, volume: "v", name })).length, 0, String(name));
    }
    assert.equal((await fetchKey({ socket: opened.path, volume: "v", kind: "cryptsetup-tpm2" })).length, 0);
    const wrongName = "does not say which volume it wants, as systemd-cryptsetup does by the name of its socket";
    assert.deepEqual(opened.strangers, [
      ...Array(6).fill(wrongName),
      "asks for v as cryptsetup-tpm2, which wants no key but something encrypted",
    ]);
    assert.deepEqual(opened.asked, []);
  });

  test("sends a key of 8 MiB whole", async () => {
    const large = Buffer.alloc(8 << 20, "nightlatch");
    await using opened = await open(async () => Secret.copy(large));
    assert.ok((await fetchKey({ socket: opened.path, volume: "v" })).equals(large));
  });

  test("gives up the work when the client has gone, though it had shut down its writing side before", async () => {
    const given = Promise.withResolvers<void>();
    await using opened = await open(async (_, signal) => {
      signal.addEventListener("abort", () => given.resolve());
      started.resolve();
      await given.promise;
      return Secret.take(Buffer.from("too late"));
    });
    const started = Promise.withResolvers<void>();
    const client = askForKey({ socket: opened.path, volume: "v" });
    await started.promise;
    client.destroy();
    await given.promise;
    assert.equal((await fetchKey({ socket: opened.path, volume: "w" })).toString(), "too late");
    assert.deepEqual(opened.ends, [false, true]);
  });

  test("answers twenty volumes side by side, each with its own key", async () => {
    const all = Promise.withResolvers<void>();
    await using opened = await open(async (volume) => {
      if (opened.asked.length === 20) all.resolve();
      await all.promise; // none is answered before all have asked
      return keyOf(volume);
    });
    const volumes = Array.from({ length: 20 }, (_, index) => `volume${index}`);
    const keys = await Promise.all(volumes.map((volume) => fetchKey({ socket: opened.path, volume })));
    assert.deepEqual(
      keys.map(String),
      volumes.map((volume) => `key of ${volume}`),
    );
    assert.equal(Math.max(...opened.busy), 20);
  });

  test("closing it closes what is being answered, and tells the work", async () => {
    const started = Promise.withResolvers<AbortSignal>();
    await using opened = await open((_, signal) => {
      started.resolve(signal);
      return new Promise(() => {});
    });
    const key = fetchKey({ socket: opened.path, volume: "v" });
    const signal = await started.promise;
    await opened.socket.close();
    assert.equal((await key).length, 0);
    assert.equal(signal.aborted, true);
  });

  test("is made 0600 in a folder 0700, and is gone when it is closed", async () => {
    const path = freshPath();
    const opened = await open(keyOf, path);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(statSync(join(path, "..")).mode & 0o777, 0o700);
    await opened.socket.close();
    assert.equal(statSync(path, { throwIfNoEntry: false }), undefined);
  });

  test("takes the place of a socket that nobody listens on, and of nothing else", async () => {
    await using opened = await open(keyOf);
    await assert.rejects(
      open(keyOf, opened.path),
      (error) =>
        isError(error, "agent/socket") && error.message === `another program listens on ${opened.path} already`,
    );
    const file = join(folder, "file");
    writeFileSync(file, "precious");
    await assert.rejects(open(keyOf, file), { message: `${file} exists and is no socket` });
    const stale = join(folder, "stale.sock");
    await leaveStale(stale);
    await using second = await open(keyOf, stale);
    assert.equal((await fetchKey({ socket: second.path, volume: "v" })).toString(), "key of v");
  });

  test("a path that cannot be bound is an error, not a crash", async () => {
    const path = join(folder, "x".repeat(120), "agent.sock");
    await assert.rejects(open(keyOf, path), (error) => isError(error, "agent/socket"));
  });
});

describe("the key socket that systemd hands over", () => {
  test("serves who waits already, and who comes while they are being served, and who comes then", async () => {
    const path = join(folder, "handed.sock");
    const fd = makeListener(path);
    const waiting = ["one", "two"].map((volume) => fetchKey({ socket: path, volume }));
    const third = Promise.withResolvers<void>();
    const opening = open(
      async (volume) => {
        if (volume === "three") third.resolve();
        await third.promise; // nobody is answered before the third has asked
        return keyOf(volume);
      },
      path,
      fd,
    );
    waiting.push(fetchKey({ socket: path, volume: "three" }));
    assert.deepEqual((await Promise.all(waiting)).map(String), ["key of one", "key of two", "key of three"]);
    await using opened = await opening;
    assert.equal(String(await fetchKey({ socket: path, volume: "four" })), "key of four");
    assert.deepEqual(opened.asked, ["one", "two", "three", "four"]);
    assert.deepEqual([opened.busy.slice(0, 2), opened.busy.at(-1), Math.max(...opened.busy)], [[1, 2], 0, 3]);
    assert.deepEqual(opened.ends, [true, true, true, true]);
  });

  test("listens while an answer takes its time", async () => {
    const path = join(folder, "slow.sock");
    const fd = makeListener(path);
    const release = Promise.withResolvers<void>();
    const slow = fetchKey({ socket: path, volume: "slow" });
    const answer: Answer = async (volume) => {
      if (volume === "slow") await release.promise;
      return keyOf(volume);
    };
    await using _ = await open(answer, path, fd); // it is open though nobody has been answered
    assert.equal(String(await fetchKey({ socket: path, volume: "quick" })), "key of quick");
    release.resolve();
    assert.equal(String(await slow), "key of slow");
  });

  test("closing it closes who had waited, and tells the work", async () => {
    const path = join(folder, "closed.sock");
    const fd = makeListener(path);
    const key = fetchKey({ socket: path, volume: "v" });
    const started = Promise.withResolvers<AbortSignal>();
    const opened = await open(
      (_, signal) => {
        started.resolve(signal);
        return new Promise(() => {});
      },
      path,
      fd,
    );
    const signal = await started.promise;
    await opened.socket.close();
    assert.equal((await key).length, 0);
    assert.equal(signal.aborted, true);
    assert.deepEqual(opened.busy, [1, 0]);
  });

  test("counts who had waited among those that it serves at once, and drops who comes beyond its limit", async () => {
    const path = join(folder, "many.sock");
    const fd = makeListener(path);
    const release = Promise.withResolvers<void>();
    const answer: Answer = async (volume) => {
      await release.promise;
      return keyOf(volume);
    };
    const keys = Array.from({ length: 100 }, (_, index) => fetchKey({ socket: path, volume: `v${index}` }));
    await using opened = await open(answer, path, fd);
    for (let index = 100; index < 260; index++) keys.push(fetchKey({ socket: path, volume: `v${index}` }));
    while (opened.strangers.length < 4) await new Promise((wake) => setTimeout(wake, 5));
    assert.equal(opened.asked.length, 256);
    release.resolve();
    const given = (await Promise.all(keys)).filter((key) => key.length > 0);
    assert.equal(given.length, 256);
    assert.deepEqual(opened.strangers, Array(4).fill("more than 256 connections at once"));
    assert.equal(String(await fetchKey({ socket: path, volume: "later" })), "key of later");
  });

  test("waits for nobody where nobody waits", async () => {
    const path = join(folder, "empty.sock");
    // The socket blocks: accepting from it would never end.
    await using _ = await open(keyOf, path, makeListener(path));
    assert.equal(String(await fetchKey({ socket: path, volume: "v" })), "key of v");
  });

  test("a descriptor that is no socket is an error, not a crash", async () => {
    const fd = openSync("/dev/null", "r");
    await assert.rejects(open(keyOf, "/dev/null", fd), (error) => isError(error, "agent/socket"));
  });
});

/** A socket file whose listener died without cleaning up. */
async function leaveStale(path: string): Promise<void> {
  const server = createServer();
  const elsewhere = `${path}.moved`;
  await new Promise<void>((resolve) => server.listen(elsewhere, resolve));
  renameSync(elsewhere, path);
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(new Promise((resolve, reject) => connect(path).on("connect", resolve).on("error", reject)), {
    code: "ECONNREFUSED",
  });
}
