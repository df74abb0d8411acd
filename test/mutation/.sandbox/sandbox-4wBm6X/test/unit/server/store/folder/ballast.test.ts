// @ts-nocheck
import assert from "node:assert/strict";
import { existsSync, readdirSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { NightlatchError } from "../../../../../src/core/errors.ts";
import { Ballast } from "../../../../../src/server/store/folder/ballast.ts";
import { nodeSystem } from "../../../../../src/system/node.ts";
import { enrolled, makeHome, openService } from "../../../../support/server/harness.ts";

const BALLAST_BYTES = 4 << 20;

/** The real one, on a disk with so much room. */
const withRoom = (roomBytes: () => number) => ({
  ...nodeSystem,
  writeFile: async (path: string, bytes: Uint8Array, mode: number) => {
    if (bytes.length > roomBytes()) throw new NightlatchError("file/full", `${path}: no space is left`);
    await nodeSystem.writeFile(path, bytes, mode);
  },
});

test("a start makes it; one that is missing, short or half made by a crash is made again", async () => {
  using home = makeHome();
  const path = join(home.folder, "ballast");
  const stray = join(home.folder, "ballast.0123456789ab.tmp");
  const breaks = [
    () => {},
    () => truncateSync(path, 1000),
    () => writeFileSync(stray, "half"),
    () => truncateSync(path, 0),
  ];
  for (const damage of breaks) {
    if (existsSync(path)) damage();
    await using service = await openService(home.folder);
    assert.deepEqual(service.warnings, []);
    assert.deepEqual([statSync(path).size, statSync(path).mode & 0o777], [BALLAST_BYTES, 0o600]);
    assert.equal(existsSync(stray), false);
  }
  const { mtimeMs } = statSync(path);
  await using service = await openService(home.folder);
  await enrolled(service, "nas");
  assert.equal(statSync(path).mtimeMs, mtimeMs, "a whole one is left alone");
});

test("given up, it is taken back as far as there is room, and whole when there is more", async () => {
  using home = makeHome();
  await nodeSystem.makeDirectory(home.folder, 0o700);
  let roomBytes = Number.POSITIVE_INFINITY;
  const ballast = new Ballast(
    withRoom(() => roomBytes),
    home.folder,
  );
  const size = () => statSync(join(home.folder, "ballast"), { throwIfNoEntry: false })?.size ?? 0;
  await ballast.find();
  assert.equal(size(), BALLAST_BYTES);
  assert.equal(await ballast.giveUp(), true);
  assert.equal(size(), 0);
  assert.equal(await ballast.giveUp(), false, "there is nothing more to give");
  roomBytes = 3_000_000;
  await ballast.hold();
  assert.equal(size(), 22 * (128 << 10));
  assert.equal(ballast.isWhole, false);
  roomBytes = 0;
  await ballast.hold();
  assert.equal(size(), 22 * (128 << 10), "a shorter one stays until a whole one is there");
  roomBytes = Number.POSITIVE_INFINITY;
  await ballast.hold();
  assert.equal(size(), BALLAST_BYTES);
});

test("where there is no room for it at all the server starts without", async () => {
  using home = makeHome();
  await nodeSystem.makeDirectory(home.folder, 0o700);
  const ballast = new Ballast(
    withRoom(() => 0),
    home.folder,
  );
  await ballast.find();
  assert.deepEqual(readdirSync(home.folder), []);
  assert.equal(await ballast.giveUp(), false);
});
