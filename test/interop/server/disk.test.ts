/** What goes wrong under a server's data folder, on real file systems. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { nightlatch, type Served, serve } from "../../support/serve.ts";
import { type EnrolledLatch, enrolAt, exchangeRaw, randomPoint, rawRequest } from "../../support/server/client.ts";

const noMount =
  spawnSync("unshare", ["-m", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]).status === 0
    ? false
    : "a file system cannot be mounted here (not root?)";

/**
 * The program's arguments follow; it keeps this process's id, and its data folder is a file system
 * of its own.
 */
const onSmallDisk = (folder: string, size = "2m"): readonly [string, ...string[]] => [
  "unshare",
  "-m",
  "sh",
  "-c",
  `mount -t tmpfs -o size=${size},mode=700 tmpfs "${folder}" && exec "$@"`,
  "sh",
];

async function withHome(use: (home: string) => Promise<void>): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), "nightlatch-disk-"));
  mkdirSync(join(home, "data"), { mode: 0o700 });
  try {
    await use(home);
  } finally {
    rmSync(home, { recursive: true });
  }
}

test(
  "a full disk too small for a ballast: no receipt, no release; the server goes on and recovers by itself",
  { skip: noMount },
  () =>
    withHome(async (home) => {
      await using server = await serve({ home, through: onSmallDisk(join(home, "data")) });
      const latches: EnrolledLatch[] = [];
      for (const name of ["a", "b", "c"]) latches.push(await enrolAt(server, name));
      const [latch] = latches;
      assert.ok(latch !== undefined);
      // As the server sees it: the mount is its own.
      const inside = join("/proc", String(server.process.pid), "root", server.folder);
      const ask = (recovery: string) =>
        exchangeRaw(server.url, rawRequest("POST", recovery, JSON.stringify({ alg: "ECMR", ...randomPoint() })));
      const health = () => exchangeRaw(server.url, rawRequest("GET", "/healthz"));
      assert.equal((await ask(latch.recovery)).status, 200);

      const filler = join(inside, "filler");
      fill(filler);
      let released = 1;
      let refusal = "";
      for (const { recovery } of Array.from({ length: 100 }, () => latches).flat()) {
        const { status, head } = await ask(recovery);
        if (status === 200) released++;
        else refusal = `${status} ${/retry-after: \d+/i.exec(head)?.[0]}`;
        if (refusal !== "") break;
      }
      assert.equal(refusal, "503 retry-after: 5");
      assert.deepEqual(JSON.parse((await health()).body), { ok: false, error: "store/full" });
      const lock = await nightlatch("machine", "lock", "a", "--admin", server.admin);
      assert.equal(lock.status, 1);
      assert.match(lock.stderr, /store\.sqlite could not be written: no space is left \[store\/full\]/);
      assert.match(lock.stderr, /nothing was released or changed/);
      assert.match(lock.stderr, /Make room on the file system of the data folder/);
      assert.equal((await ask(latch.recovery)).status, 503);

      rmSync(filler);
      assert.equal((await ask(latch.recovery)).status, 200);
      assert.equal((await health()).status, 200);
      await server.json("machine", "lock", "a");
      assert.equal((await ask(latch.recovery)).status, 403);
      const audit = await server.json("audit", "verify");
      assert.equal(audit["machines"], 3);
      assert.equal(audit["entries"], 1 + 3 * 2 + released + 1 + 2);
    }),
);

test(
  "a full disk: nothing is released, and a machine can be locked, unlocked and revoked all the same",
  { skip: noMount },
  () =>
    withHome(async (home) => {
      await using server = await serve({ home, through: onSmallDisk(join(home, "data"), "24m") });
      const [a, b] = [await enrolAt(server, "a"), await enrolAt(server, "b")];
      const inside = join("/proc", String(server.process.pid), "root", server.folder);
      const ballast = () => statSync(join(inside, "ballast"), { throwIfNoEntry: false })?.size ?? 0;
      const ask = async ({ recovery }: EnrolledLatch) =>
        (await exchangeRaw(server.url, rawRequest("POST", recovery, JSON.stringify({ alg: "ECMR", ...randomPoint() }))))
          .status;
      assert.equal(ballast(), 4 << 20);
      const { blocks } = statSync(join(inside, "ballast"));
      assert.ok(blocks * 512 >= 4 << 20, "it takes up what it says");

      const filler = join(inside, "filler");
      fill(filler);
      while ((await ask(b)) === 200);
      assert.equal(await ask(b), 503);
      for (const verb of ["lock", "unlock", "lock", "unlock", "lock"]) {
        const said = await server.json("machine", verb, "a");
        assert.deepEqual([said["changed"], said["recorded"]], [true, true], verb);
        assert.ok(ballast() > 3 << 20, `${verb}: ${ballast()} bytes are held again`);
        while ((await ask(b)) === 200); // whoever comes next has no use of it
        assert.equal(await ask(b), 503);
      }
      assert.equal(await ask(a), 503, "a refusal's entry has no room either");
      const said = await server.json("machine", "revoke", "b");
      assert.deepEqual([said["changed"], said["scrubbed"], said["recorded"]], [true, true, true]);
      assert.notEqual(await ask(b), 200);

      rmSync(filler);
      assert.deepEqual([await ask(a), await ask(b)], [403, 410]);
      await server.json("machine", "revoke", "a");
      assert.equal(await ask(a), 410);
      assert.equal(ballast(), 4 << 20, "whole again");
      await server.json("audit", "verify");
    }),
);

function fill(path: string): void {
  for (let sizeBytes = 1 << 20; sizeBytes >= 1; sizeBytes >>= 1) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(sizeBytes), { flag: "a" });
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
    }
  }
}

test("a full disk at the first start is told, and the next start goes on from there", { skip: noMount }, () =>
  withHome(async (home) => {
    const folder = join(home, "data");
    const tiny = `mount -t tmpfs -o size=4k,mode=700 tmpfs "${folder}" && exec "$@"`;
    const through: [string, ...string[]] = ["unshare", "-m", "sh", "-c", tiny, "sh"];
    await assert.rejects(serve({ home, through }), /no space is left/);
    await using server = await serve({ home });
    await enrolAt(server, "nas");
  }),
);

test("a data folder whose mount has failed is noticed: no keys are made in the empty place", { skip: noMount }, () =>
  withHome(async (home) => {
    {
      await using server = await serve({ home, through: onSmallDisk(join(home, "data")) });
      await enrolAt(server, "nas");
      await server.end("SIGTERM");
    }
    const again = await start(home, "second.sock");
    assert.equal(again.status, 1);
    assert.match(again.stderr, /the store .{22} is gone: .*data does not hold it \[store\/missing\]/);
    assert.match(again.stderr, /Check that the file system of .* is mounted/);
    assert.deepEqual(readdirSync(join(home, "data")), []);
  }),
);

test("two servers on one store: the second is refused, the first goes on", () =>
  withHome(async (home) => {
    await using server: Served = await serve({ home });
    const second = await start(home, "second.sock");
    assert.equal(second.status, 1);
    const { pid } = server.process;
    assert.match(second.stderr, new RegExp(`another server has this store open \\(process ${pid}\\) \\[store/busy\\]`));
    await enrolAt(server, "nas");
  }));

test("two servers at one address, or one admin socket, are told apart", () =>
  withHome(async (home) => {
    await using server = await serve({ home });
    const other = join(home, "other");
    const { host } = new URL(server.url);
    const address = await nightlatch("serve", "--data", other, "--listen", host, "--admin", join(home, "second.sock"));
    assert.equal(address.status, 1);
    assert.match(address.stderr, /cannot listen on 127\.0\.0\.1 port \d+ \(EADDRINUSE\) \[serve\/listen\]/);
    const socket = await nightlatch("serve", "--data", other, "--listen", "127.0.0.1:0", "--admin", server.admin);
    assert.equal(socket.status, 1);
    assert.match(socket.stderr, /admin\.sock: another server listens on it \[admin\/socket\]/);
    await enrolAt(server, "nas");
  }));

function start(home: string, socket: string) {
  return nightlatch("serve", "--data", join(home, "data"), "--listen", "127.0.0.1:0", "--admin", join(home, socket));
}
