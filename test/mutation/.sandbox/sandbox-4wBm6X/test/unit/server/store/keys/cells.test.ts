/** The cells by themselves, on a disk that tears what it writes when the power goes. */
// @ts-nocheck

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { NightlatchError } from "../../../../../src/core/errors.ts";
import { Secret } from "../../../../../src/core/secret.ts";
import { CellFile } from "../../../../../src/server/store/keys/cell-file.ts";
import { FIRST_CELL } from "../../../../../src/server/store/keys/cell-layout.ts";
import { Cells } from "../../../../../src/server/store/keys/cells.ts";
import { MasterKey } from "../../../../../src/server/store/keys/wrap.ts";
import type { InPlaceFile } from "../../../../../src/system/port.ts";

const STORE = "ABEiM0RVZneImaq7zN3u_w";
const MASTER = randomBytes(32);
const SECTOR = 512;
const CHUNK = 128 << 10;

class PowerCut extends Error {}

/** What is written is on it once it is synced; before, each sector is, is not, or is torn. */
class Disk {
  bytes = Buffer.alloc(0);
  /** Writes and syncs until the power goes. */
  steps = Number.POSITIVE_INFINITY;
  /** Blocks of 4 KiB that cannot be read. */
  readonly lost = new Set<number>();
  writes = 0;
  #pending: { readonly at: number; readonly bytes: Buffer }[] = [];

  open(): InPlaceFile {
    let view = Buffer.from(this.bytes);
    const step = () => {
      if (this.steps-- <= 0) throw new PowerCut();
    };
    return {
      get sizeBytes() {
        return view.length;
      },
      read: (at, length) => {
        for (const block of this.lost) {
          if (block * 4096 < at + length && (block + 1) * 4096 > at) throw new NightlatchError("file/io", "lost (EIO)");
        }
        return Buffer.from(view.subarray(at, at + length));
      },
      write: (at, bytes) => {
        this.writes++;
        this.#pending.push({ at, bytes: Buffer.from(bytes) });
        step();
        if (view.length < at + bytes.length)
          view = Buffer.concat([view, Buffer.alloc(at + bytes.length - view.length)]);
        view.set(bytes, at);
      },
      sync: () => {
        step();
        for (const { at, bytes } of this.#pending) this.#put(at, bytes);
        this.#pending = [];
      },
      [Symbol.dispose]: () => {},
    };
  }

  /** @param choose whether a sector that was not synced made it, 0 or 1; 2 where it was torn */
  cut(choose: () => number): void {
    for (const { at, bytes } of this.#pending) {
      const first = Math.floor(at / SECTOR) * SECTOR;
      for (let sector = first; sector < at + bytes.length; sector += SECTOR) {
        const choice = choose();
        if (choice === 0) continue;
        const [from, to] = [Math.max(sector, at), Math.min(sector + SECTOR, at + bytes.length)];
        if (choice === 2) {
          this.#put(sector, randomBytes(SECTOR)); // its neighbours in the sector are lost with it
        } else this.#put(from, bytes.subarray(from - at, to - at));
      }
    }
    this.#pending = [];
    this.steps = Number.POSITIVE_INFINITY;
  }

  #put(at: number, bytes: Uint8Array): void {
    if (this.bytes.length < at + bytes.length) {
      this.bytes = Buffer.concat([this.bytes, Buffer.alloc(at + bytes.length - this.bytes.length)]);
    }
    this.bytes.set(bytes, at);
  }
}

function openFile(disk: Disk, mayMake = false): CellFile {
  return CellFile.open(disk.open(), STORE, { random: randomBytes, mayMake });
}

function openCells(disk: Disk, mayMake = false): Cells {
  return new Cells(openFile(disk, mayMake), new MasterKey(Secret.copy(MASTER)));
}

const contextOf = (cell: number) => ({ purpose: "exchange", id: `latch ${cell}`, epoch: 1 }) as const;

test("the file is as its page says", () => {
  const disk = new Disk();
  const cells = openCells(disk, true);
  assert.equal(disk.bytes.length, CHUNK);
  const head = `{"format":"nightlatch-cells","version":1,"store":"${STORE}"}\n`;
  for (const copy of [0, CHUNK / 2]) {
    const bytes = disk.bytes.subarray(copy, copy + 4096);
    assert.equal(bytes.toString("latin1", 0, head.length), head);
    assert.ok(bytes.subarray(head.length).every((byte) => byte === 0));
  }
  assert.ok(disk.bytes.subarray(4096, CHUNK / 2).equals(disk.bytes.subarray(CHUNK / 2 + 4096)));
  assert.deepEqual([cells.take(), cells.take(), cells.take()], [FIRST_CELL, FIRST_CELL + 1, FIRST_CELL + 2]);
  assert.ok(cells.empty([FIRST_CELL + 1]));
  for (const copy of [0, CHUNK / 2]) {
    const at = copy + (FIRST_CELL + 1) * 32;
    assert.ok(disk.bytes.subarray(at, at + 32).every((byte) => byte === 0));
    assert.ok(
      disk.bytes.subarray(at - 32, at).some((byte) => byte !== 0),
      "the one before it stays",
    );
    assert.ok(
      disk.bytes.subarray(at + 32, at + 64).some((byte) => byte !== 0),
      "and the one after it",
    );
  }
});

test("taking a cell writes nothing but once in a chunk, and none comes twice", () => {
  const disk = new Disk();
  const cells = openCells(disk, true);
  const [made, seen] = [disk.writes, new Set<number>()];
  for (let count = 0; count < 5000; count++) seen.add(cells.take());
  assert.equal(seen.size, 5000);
  assert.equal(disk.writes - made, 2 * 2, "two chunks more, two copies each");
  assert.equal(disk.bytes.length, 3 * CHUNK);
  cells.empty([FIRST_CELL + 7]);
  const again = openCells(disk);
  const taken = Array.from({ length: 20 }, () => again.take());
  assert.ok(!taken.includes(FIRST_CELL + 7), "one that was emptied is passed over");
});

test("what was wrapped with an emptied cell opens no more, here and after a restart; all others do", () => {
  const disk = new Disk();
  let cells = openCells(disk, true);
  const wrapped = Array.from({ length: 300 }, () => {
    const cell = cells.take();
    return { cell, bytes: cells.wrap(cell, Buffer.from(`secret ${cell}`), contextOf(cell)) };
  });
  const dead = wrapped.filter(({ cell }) => cell % 3 === 0).map(({ cell }) => cell);
  assert.ok(cells.empty(dead));
  for (let round = 0; round < 2; round++) {
    for (const { cell, bytes } of wrapped) {
      assert.equal(cells.isEmpty(cell), cell % 3 === 0);
      if (cell % 3 === 0) assert.throws(() => cells.unwrap(cell, bytes, contextOf(cell)), { code: "store/damaged" });
      else assert.equal(cells.unwrap(cell, bytes, contextOf(cell)).reveal().toString(), `secret ${cell}`);
    }
    cells = openCells(disk);
  }
  assert.throws(() => cells.unwrap(99_999, wrapped[0]?.bytes ?? Buffer.alloc(0), contextOf(1)), {
    code: "store/damaged",
  });
});

test("a cell that cannot be overwritten is gone from memory, owed, and overwritten later", () => {
  const disk = new Disk();
  const cells = openCells(disk, true);
  const cell = cells.take();
  const bytes = cells.wrap(cell, Buffer.from("x"), contextOf(cell));
  const before = Buffer.from(disk.bytes);
  const file = disk.open();
  file.write = () => {
    throw new NightlatchError("file/io", "the disk fails");
  };
  const failing = new Cells(
    CellFile.open(file, STORE, { random: randomBytes, mayMake: false }),
    new MasterKey(Secret.copy(MASTER)),
  );
  assert.equal(failing.empty([cell]), false);
  assert.deepEqual([failing.owes, failing.settle(), failing.isEmpty(cell)], [true, false, true]);
  assert.throws(() => failing.unwrap(cell, bytes, contextOf(cell)), { code: "store/damaged" });
  assert.deepEqual(disk.bytes, before);
  assert.ok(cells.empty([cell]));
  assert.deepEqual([cells.owes, cells.settle()], [false, true]);
  assert.notDeepEqual(disk.bytes, before);
});

test("another store's cells, none and a later format's are refused; a damaged head or block is mended by its copy", () => {
  const disk = new Disk();
  openCells(disk, true);
  const open = (store: string) => CellFile.open(disk.open(), store, { random: randomBytes, mayMake: true });
  assert.throws(() => open("ABEiM0RVZneImaq7zN3u_x"), { code: "store/cells" });
  const whole = Buffer.from(disk.bytes);
  for (const copy of [0, CHUNK / 2]) {
    disk.bytes.fill(7, copy, copy + 512);
    openCells(disk);
    assert.deepEqual(disk.bytes, whole);
  }
  for (const block of [0, 3, 16, 31]) {
    disk.lost.add(block);
    const cells = openCells(disk);
    assert.equal(cells.capacity, 2048);
    disk.lost.clear();
  }
  disk.lost.add(3).add(19);
  assert.throws(() => openCells(disk), { code: "file/io" });
  disk.lost.clear();
  for (const copy of [0, CHUNK / 2]) disk.bytes.fill(0, copy, copy + 4096);
  assert.throws(() => openCells(disk), { code: "store/cells" });
  disk.bytes = Buffer.from(whole.toString("latin1").replaceAll('"version":1', '"version":2'), "latin1");
  assert.throws(() => openCells(disk), { code: "store/cells" });
});

test("the power goes at any step: a cell that was emptied is empty, and no other is lost", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ empties: fc.array(fc.nat(59), { maxLength: 4 }), steps: fc.nat(12) }), { maxLength: 6 }),
      fc.infiniteStream(fc.constantFrom(0, 1, 2)),
      (rounds, choices) => {
        const disk = new Disk();
        let cells = openCells(disk, true);
        const live = new Map<number, Buffer>();
        const dead = new Set<number>();
        for (let count = 0; count < 60; count++) {
          const cell = cells.take();
          live.set(cell, cells.wrap(cell, Buffer.from("x"), contextOf(cell)));
        }
        for (const { empties, steps } of rounds) {
          const wanted = empties.map((index) => FIRST_CELL + index);
          for (const cell of wanted) {
            dead.add(cell); // the store's commit, which comes before
            live.delete(cell);
          }
          disk.steps = steps;
          try {
            cells.empty(wanted);
          } catch (error) {
            assert.ok(error instanceof PowerCut);
          }
          disk.cut(() => choices.next().value ?? 0);
          cells = reconciled(disk, live, dead);
          for (const cell of dead) assert.ok(cells.isEmpty(cell));
          for (const [cell, bytes] of live)
            assert.equal(String(cells.unwrap(cell, bytes, contextOf(cell)).reveal()), "x");
        }
      },
    ),
    { numRuns: process.env["NIGHTLATCH_TEST_FULL"] ? 2000 : 100 },
  );
});

/** As a start does, with maps in the place of the store. */
function reconciled(disk: Disk, live: ReadonlyMap<number, Buffer>, dead: ReadonlySet<number>): Cells {
  const file = openFile(disk);
  for (const { cell, second } of file.doubts) {
    const wrapped = live.get(cell);
    if (wrapped === undefined) file.write([cell], Buffer.alloc(32));
    else
      file.write(
        [cell],
        [Buffer.from(file.at(cell)), second].find((bytes) => opens(bytes, wrapped, cell)) ?? Buffer.alloc(32),
      );
  }
  const cells = new Cells(file, new MasterKey(Secret.copy(MASTER)));
  cells.empty([...dead]);
  return cells;
}

function opens(bytes: Buffer, wrapped: Buffer, cell: number): boolean {
  const disk = new Disk();
  const cells = openCells(disk, true);
  const file = openFile(disk);
  file.at(FIRST_CELL).set(bytes);
  try {
    new Cells(file, new MasterKey(Secret.copy(MASTER))).unwrap(FIRST_CELL, wrapped, contextOf(cell)).wipe();
    return true;
  } catch {
    return false;
  } finally {
    cells[Symbol.dispose]();
  }
}
