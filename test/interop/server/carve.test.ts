/**
 * A thief takes the key server's disk too: what can be found in its raw blocks after a revocation,
 * on real file systems.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import Database from "better-sqlite3";
import { parseInvite } from "../../../src/formats/own/invite.ts";
import { nightlatch, type Served, serve } from "../../support/serve.ts";
import { type Found, opensWithFolder, readCells } from "../../support/server/carve.ts";
import { type EnrolledLatch, enrolAt, exchangeRaw, randomPoint, rawRequest } from "../../support/server/client.ts";
import { makeOld } from "../../support/server/old-store.ts";

interface Disk extends Disposable {
  readonly image: string;
  /** A folder for a server's `home`, on the image. */
  readonly home: string;
  /** Takes the disk out: what its blocks hold, and the files in them as they are. */
  takeOut(): { readonly raw: Buffer; readonly folder: string };
}

/** @param make the program that makes the file system, and its options; the image follows */
function mountDisk(make: readonly string[], sizeMiB = 64, options = "loop"): Disk {
  const path = mkdtempSync(join(tmpdir(), "nightlatch-carve-"));
  const [image, home] = [join(path, "disk.img"), join(path, "mnt")];
  mkdirSync(home);
  execFileSync("truncate", ["-s", `${sizeMiB}M`, image]);
  const [program = "", ...args] = make;
  execFileSync(program, [...args, image], { stdio: "ignore" });
  execFileSync("mount", ["-o", options, image, home]);
  let isMounted = true;
  const unmount = () => {
    if (isMounted) execFileSync("umount", [home]);
    isMounted = false;
  };
  return {
    image,
    home,
    takeOut: () => {
      const folder = join(path, "files");
      rmSync(folder, { recursive: true, force: true });
      cpSync(join(home, "data"), folder, { recursive: true });
      unmount();
      const raw = readFileSync(image);
      execFileSync("mount", ["-o", options, image, home]);
      isMounted = true;
      return { raw, folder };
    },
    [Symbol.dispose]: () => {
      unmount();
      rmSync(path, { recursive: true });
    },
  };
}

function whyNot(program: string): string | false {
  if (process.geteuid?.() !== 0) return "needs root for a loop mount";
  if (spawnSync(program, ["-V"]).error !== undefined) return `${program} is not installed`;
  try {
    mountDisk([program, ...(MAKE[program] ?? [])], SIZE_MIB[program])[Symbol.dispose]();
    return false;
  } catch {
    return `a file system of ${program} cannot be mounted here`;
  }
}

const MAKE: Readonly<Record<string, readonly string[]>> = {
  "mkfs.ext4": ["-q"],
  "mkfs.xfs": ["-q"],
  "mkfs.btrfs": ["-q"],
};
const SIZE_MIB: Readonly<Record<string, number>> = { "mkfs.xfs": 320, "mkfs.btrfs": 128 };

interface Secrets {
  readonly found: readonly Found[];
  readonly cell: Buffer;
}

/**
 * What of a latch or an invite a thief would look for, read from the folder of a server that is
 * stopped.
 */
function secretsOf(folder: string, id: string): Secrets {
  const database = new Database(join(folder, "store.sqlite"), { readonly: true });
  const keys = database
    .prepare("select latch as id, purpose, epoch, wrapped from latch_key where latch = ?")
    .all(id) as { id: string; purpose: "exchange" | "signing"; epoch: number; wrapped: Buffer }[];
  const invites = database
    .prepare("select id, 'invite' as purpose, 1 as epoch, wrapped from invite where id = ?")
    .all(id) as { id: string; purpose: "invite"; epoch: number; wrapped: Buffer }[];
  const { cell } = database
    .prepare("select cell from latch where id = ? union all select cell from invite where id = ?")
    .get(id, id) as { cell: number };
  database.close();
  const found = [...keys, ...invites].map(({ wrapped, ...context }) => ({ context, bytes: wrapped }));
  return { found, cell: Buffer.from(readCells(folder)(cell)) };
}

/** Runs a server on the disk, and stops it as an operator would. */
async function withServer<T>(disk: Disk, use: (server: Served) => Promise<T>): Promise<T> {
  await using server = await serve({ home: disk.home });
  const result = await use(server);
  await server.end("SIGTERM");
  return result;
}

const count = (raw: Buffer, what: Buffer): number => {
  let found = 0;
  for (let at = raw.indexOf(what); at >= 0; at = raw.indexOf(what, at + 1)) found++;
  return found;
};

/** Nothing on the disk opens any of it, and its cell is in none of the blocks. */
function expectGone(disk: Disk, secrets: readonly Secrets[]): void {
  const { raw, folder } = disk.takeOut();
  for (const { found, cell } of secrets) {
    assert.equal(count(raw, cell), 0, "a cell can be found in the raw blocks");
    for (const each of found) assert.ok(!opensWithFolder(folder, each), JSON.stringify(each.context));
  }
}

/** The test would see it: it is there, and opens. */
function expectThere(disk: Disk, secrets: readonly Secrets[]): void {
  const { raw, folder } = disk.takeOut();
  for (const { found, cell } of secrets) {
    assert.equal(count(raw, cell), 2, "a cell lies in two places");
    assert.ok(found.length > 0);
    for (const each of found) {
      assert.ok(count(raw, each.bytes) > 0);
      assert.ok(opensWithFolder(folder, each));
    }
  }
}

const folderOf = ({ home }: Disk) => join(home, "data");

async function asks(server: Served, { recovery }: EnrolledLatch): Promise<number> {
  const body = JSON.stringify({ alg: "ECMR", ...randomPoint() });
  return (await exchangeRaw(server.url, rawRequest("POST", recovery, body))).status;
}

const EXT4 = ["mkfs.ext4", "-q"];

for (const [program, options] of [
  ["mkfs.ext4", "loop"],
  ["mkfs.xfs", "loop"],
  ["mkfs.btrfs", "loop"],
] as const) {
  test(`${program}: what is revoked, a machine or a single latch, is nowhere on the disk`, {
    skip:
      whyNot(program) ||
      (program === "mkfs.ext4" || process.env["NIGHTLATCH_TEST_FULL"] ? false : "runs with script/test --full"),
  }, async () => {
    using disk = mountDisk([program, ...(MAKE[program] ?? [])], SIZE_MIB[program], options);
    const latches = await withServer(disk, async (server) => {
      const made: EnrolledLatch[] = [];
      for (let index = 0; index < 6; index++) made.push(await enrolAt(server, `m${index}`));
      for (const latch of made) assert.equal(await asks(server, latch), 200);
      return made;
    });
    const secrets = latches.map(({ latch }) => secretsOf(folderOf(disk), latch));
    expectThere(disk, secrets);
    await withServer(disk, async (server) => {
      const machine = await server.json("machine", "revoke", "m0", "--yes");
      const second = latches[1]?.latch ?? "";
      const which = second.startsWith("-") ? ["m1"] : ["--latch", second];
      const single = await server.json("machine", "revoke", ...which, "--yes");
      for (const done of [machine, single]) {
        assert.deepEqual([done["destroyed"], done["scrubbed"], done["recorded"]], [true, true, true]);
      }
    });
    expectGone(disk, secrets.slice(0, 2));
    expectThere(disk, secrets.slice(2));
    await withServer(disk, async (server) => {
      assert.deepEqual(await Promise.all(latches.map((latch) => asks(server, latch))), [410, 410, 200, 200, 200, 200]);
    });
    expectGone(disk, secrets.slice(0, 2));
  });
}

test("the server is killed right after the acknowledgement: nothing of it can be found, then and after the next start", {
  skip: whyNot("mkfs.ext4"),
}, async () => {
  using disk = mountDisk(EXT4);
  const latches = await withServer(disk, async (server) => [await enrolAt(server, "a"), await enrolAt(server, "b")]);
  const secrets = latches.map(({ latch }) => secretsOf(folderOf(disk), latch));
  {
    await using server = await serve({ home: disk.home });
    await server.json("machine", "revoke", "a", "--yes");
    await server.end("SIGKILL");
  }
  expectGone(disk, secrets.slice(0, 1));
  await withServer(disk, async () => {});
  expectGone(disk, secrets.slice(0, 1));
  expectThere(disk, secrets.slice(1));
});

test("an invite that was used or replaced is nowhere on the disk, one that is open is", {
  skip: whyNot("mkfs.ext4"),
}, async () => {
  using disk = mountDisk(EXT4);
  const ids = await withServer(disk, async (server) => {
    const lines = [];
    for (const name of ["a", "b", "c"]) lines.push((await server.json("machine", "invite", name))["invite"]);
    return lines.map((line) => parseInvite(String(line)).id);
  });
  const secrets = ids.map((id) => secretsOf(folderOf(disk), id));
  expectThere(disk, secrets);
  await withServer(disk, async (server) => {
    await enrolAt(server, "a"); // replaces the first, and uses the one that replaces it
    await server.json("machine", "invite", "b");
  });
  expectGone(disk, secrets.slice(0, 2));
  expectThere(disk, secrets.slice(2));
});

test("a store of an older version: its master key and all that it wrapped are gone after the first start", {
  skip: whyNot("mkfs.ext4"),
}, async () => {
  using disk = mountDisk(EXT4);
  const latches = await withServer(disk, async (server) => [await enrolAt(server, "a"), await enrolAt(server, "b")]);
  const old = makeOld(folderOf(disk));
  {
    const { raw, folder } = disk.takeOut();
    assert.ok(count(raw, old.master) > 0);
    for (const each of old.wrapped) assert.ok(count(raw, each.bytes) > 0 && opensWithFolder(folder, each));
  }
  await withServer(disk, async (server) => {
    for (const latch of latches) assert.equal(await asks(server, latch), 200);
  });
  const { raw, folder } = disk.takeOut();
  assert.equal(count(raw, old.master), 0, "the older master key can be found in the raw blocks");
  const stays = old.wrapped.filter(({ bytes }) => count(raw, bytes) > 0);
  assert.ok(stays.length > 0, "old bytes do stay in free blocks: what follows is no empty promise");
  for (const each of old.wrapped) assert.ok(!opensWithFolder(folder, each));
  const secrets = latches.map(({ latch }) => secretsOf(folderOf(disk), latch));
  await withServer(disk, (server) => server.json("machine", "revoke", "a", "--yes"));
  expectGone(disk, secrets.slice(0, 1));
  expectThere(disk, secrets.slice(1));
});

test("many latches, some revoked one by one among the others", { skip: whyNot("mkfs.ext4") }, async () => {
  using disk = mountDisk(EXT4);
  const total = process.env["NIGHTLATCH_TEST_FULL"] ? 60 : 16;
  const latches = await withServer(disk, async (server) => {
    const made: EnrolledLatch[] = [];
    for (let index = 0; index < total; index++) made.push(await enrolAt(server, `m${index}`));
    return made;
  });
  const secrets = latches.map(({ latch }) => secretsOf(folderOf(disk), latch));
  const isRevoked = (index: number) => index % 3 === 1;
  await withServer(disk, async (server) => {
    for (const [index, { latch }] of latches.entries()) {
      // An id that begins with a dash would want to stand last, behind two of them.
      const which = latch.startsWith("-") ? [`m${index}`] : ["--latch", latch];
      if (isRevoked(index)) await server.json("machine", "revoke", ...which, "--yes");
      else await asks(server, latches[index] as EnrolledLatch);
    }
  });
  expectGone(
    disk,
    secrets.filter((_, index) => isRevoked(index)),
  );
  expectThere(
    disk,
    secrets.filter((_, index) => !isRevoked(index)),
  );
});

test("a full disk: a cell is emptied all the same", { skip: whyNot("mkfs.ext4") }, async () => {
  using disk = mountDisk([...EXT4, "-m", "0"], 24);
  const latches = await withServer(disk, async (server) => [await enrolAt(server, "a"), await enrolAt(server, "b")]);
  const secrets = latches.map(({ latch }) => secretsOf(folderOf(disk), latch));
  await withServer(disk, async (server) => {
    spawnSync("dd", ["if=/dev/urandom", `of=${join(disk.home, "filler")}`, "bs=64k"], { stdio: "ignore" });
    const done = await server.json("machine", "revoke", "a", "--yes");
    assert.deepEqual([done["changed"], done["destroyed"]], [true, true]);
    rmSync(join(disk.home, "filler"));
  });
  expectGone(disk, secrets.slice(0, 1));
});

test("serve says where the file system does not overwrite", { skip: whyNot("mkfs.ext4") }, async () => {
  using disk = mountDisk(EXT4, 64, "loop,data=journal");
  await using server = await serve({ home: disk.home });
  await server.end("SIGTERM");
  const said = await nightlatch(
    "serve",
    "--data",
    folderOf(disk),
    "--listen",
    "nowhere.invalid:1",
    "--admin",
    server.admin,
  );
  assert.match(said.stderr, /serve\/listen|cannot listen/);
  const child = spawnSync(
    "timeout",
    ["-s", "TERM", "10", join(import.meta.dirname, "../../../bin/nightlatch"), "serve", "--json"].concat([
      "--data",
      folderOf(disk),
      "--listen",
      "127.0.0.1:0",
      "--admin",
      server.admin,
    ]),
    { encoding: "utf8" },
  );
  assert.match(child.stderr, /warning: .*cells lies on a file system that is mounted with data=journal/);
});
