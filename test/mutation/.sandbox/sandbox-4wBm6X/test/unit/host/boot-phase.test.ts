// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { readBootPhase, wasInInitramfs } from "../../../src/host/boot-phase.ts";
import type { System } from "../../../src/system/port.ts";

const systemd = (stdout: string, uptime = "120.50 90.00\n"): Pick<System, "readFile" | "run"> => ({
  readFile: async () => Buffer.from(uptime),
  run: async () => ({ status: 0, signal: null, stdout: Buffer.from(stdout), stderr: Buffer.alloc(0) }),
});

test("when the initramfs was over is systemd's own word, in milliseconds", async () => {
  const told = "UserspaceTimestampMonotonic=31500000\nSoftRebootsCount=0\n";
  assert.deepEqual(await readBootPhase(systemd(told)), { upMs: 120_500, handedOverMs: 31_500 });
  // Before systemd 256 there was no such count, and it says nothing of a property that it lacks.
  const older = "UserspaceTimestampMonotonic=31500000\n";
  assert.deepEqual(await readBootPhase(systemd(older)), { upMs: 120_500, handedOverMs: 31_500 });
});

test("after a soft reboot, or where systemd or the kernel does not say, it is not known", async () => {
  assert.equal(await readBootPhase(systemd("UserspaceTimestampMonotonic=31500000\nSoftRebootsCount=1\n")), null);
  assert.equal(await readBootPhase(systemd("")), null);
  assert.equal(await readBootPhase(systemd("UserspaceTimestampMonotonic=31500000\n", "?")), null);
});

test("a release counts where it was after the machine's start and before the hand-over, at either moment", () => {
  const phase = { upMs: 100_000, handedOverMs: 30_000 };
  const at = (agoMs: number, answeredAtMs = 100_200) => wasInInitramfs(phase, answeredAtMs, agoMs);
  assert.deepEqual([at(80_000), at(70_200), at(70_100), at(0)], [true, true, false, false]);
  assert.deepEqual([at(99_999), at(100_000), at(500_000)], [true, false, false]);
  // An answer that took long could tell of a later release.
  assert.equal(at(80_000, 120_000), false);
});
