// @ts-nocheck
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { clevisLacks } from "../../../src/boot/initramfs/clevis.ts";
import {
  addDracutWord,
  addDriver,
  addFile,
  formatSteps,
  mendingOf,
  type Remedy,
  setNetwork,
} from "../../../src/boot/initramfs/mending.ts";
import { NO_FIXED_NETWORK } from "../../../src/formats/own/initramfs-network.ts";
import { isDone, planSetup, stepsOf } from "../../../src/setup/plan.ts";

const DEBIAN = new Map([["ID", "debian"]]);
const TOOLS = mendingOf("initramfs-tools", DEBIAN);
const DRACUT = mendingOf("dracut", DEBIAN);

test("everything that check names is planned, each step once, packages first", () => {
  const lacks = clevisLacks(
    "dracut-systemd",
    { has: () => false, names: new Set<string>() },
    {
      pins: ["tang"],
      network: true,
      urls: ["https://keys.example.org"],
      luksVersion: 2,
      cmdline: "ro",
      mending: DRACUT,
      names: new Map(),
      rebind: () => "",
    },
  );
  const plan = planSetup([...lacks, ...lacks]);
  assert.deepEqual(plan.packages, ["clevis-dracut"]);
  assert.deepEqual(
    plan.files.map(({ path }) => path),
    ["/etc/dracut.conf.d/nightlatch-network.conf", "/etc/dracut.conf.d/nightlatch-certificates.conf"],
  );
  assert.deepEqual(
    stepsOf(plan).map(({ kind }) => kind),
    ["install", "file", "file", "rebuild"],
  );
  const typed = formatSteps(DRACUT, stepsOf(plan)).split("\n");
  for (const { remedy } of lacks) for (const line of remedy.split("\n")) assert.ok(typed.includes(line), line);
});

test("what takes a person is told, and is no step", () => {
  const plan = planSetup([{ what: "a name", remedy: "bind it to the address", steps: null }]);
  assert.deepEqual([stepsOf(plan), plan.byHand.length, isDone(plan)], [[], 1, false]);
  assert.ok(isDone(planSetup([])));
});

test("what is typed from the print leaves the very file that the set-up writes", () => {
  const remedies: readonly (readonly [typeof TOOLS, Remedy])[] = [
    [TOOLS, addDriver(TOOLS, ["virtio_net", "virtio_pci"], "driver")],
    [TOOLS, addFile(TOOLS, "/etc/ssl/certs/ca-certificates.crt", "certificates")],
    [DRACUT, addDriver(DRACUT, ["e1000e"], "tpm-driver")],
    [DRACUT, addDracutWord(DRACUT, "rd.neednet=1", "network")],
    [TOOLS, setNetwork(TOOLS, 'nightlatch_card="ens3"\nnightlatch_mac=""\n')],
    [DRACUT, setNetwork(DRACUT, NO_FIXED_NETWORK)],
  ];
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-plan-"));
  try {
    for (const [mending, { steps }] of remedies) {
      const file = (steps ?? []).find((step) => step.kind === "file");
      assert.ok(file?.kind === "file");
      const path = join(folder, "written");
      const typed = formatSteps(mending, [{ ...file, path }]);
      assert.equal(spawnSync("bash", ["-c", `umask 022; ${typed}`]).status, 0, typed);
      assert.equal(readFileSync(path, "utf8"), file.text);
      assert.equal(statSync(path).mode & 0o777, file.mode);
      rmSync(path);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
