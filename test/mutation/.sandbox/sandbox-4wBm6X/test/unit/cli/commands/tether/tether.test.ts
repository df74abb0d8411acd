// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { lookForTether, tetherJson, tetherLines } from "../../../../../src/cli/commands/tether/report.ts";
import { command } from "../../../../../src/cli/commands/tether/tether.ts";
import { buildTrip, parsePause } from "../../../../../src/formats/own/tether.ts";
import { fakeSystem } from "../../../../support/fake-files.ts";
import { runCommand } from "../../../../support/terminal.ts";
import { writableSystem } from "../../../../support/writable-files.ts";

const CONFIG = { afterMs: 600_000, action: "suspend", volumes: [] } as const;

test("a pause is counted from now, and no longer than a day", async () => {
  const files: Record<string, string | Buffer> = { "/run/nightlatch-tether/.": "" };
  const system = { ...writableSystem(files), upMs: () => 5000 };
  const { lines, result } = await runCommand(command, ["--pause", "2h"], system);
  assert.equal(parsePause(Buffer.from(String(files["/run/nightlatch-tether/pause.json"]))), 7_205_000);
  assert.deepEqual(lines, ["Silence trips nothing for 2h. A lock does."]);
  assert.equal(result["seconds"], 7200);
  for (const wrong of ["25h", "2", "-1h", "1d"])
    await assert.rejects(runCommand(command, ["--pause", wrong], system), { code: "usage/wrong" }, wrong);
});

test("without a tether nothing is paused, and nothing watched", async () => {
  const system = { ...writableSystem({ "/etc/nightlatch/agent.toml": "" }), upMs: () => 0 };
  await assert.rejects(runCommand(command, ["--pause", "2h"], system), { code: "tether/off" });
  await assert.rejects(runCommand(command, [], system), { code: "tether/off" });
});

test("status tells when it acts, what it did, and how a volume goes on", async () => {
  const system = fakeSystem({
    "/sys/block/dm-0/dm/name": "my data\n",
    "/sys/block/dm-0/dm/uuid": `CRYPT-LUKS2-${"ab".repeat(16)}-data\n`,
    "/sys/block/dm-0/dm/suspended": "1\n",
    "/run/nightlatch-tether/trip.json": buildTrip({ atMs: 1, cause: "gone", suspended: ["my data"] }),
  });
  const report = await lookForTether(system, CONFIG);
  assert.deepEqual(tetherLines(report), [
    "Tether: volumes are suspended where a server has locked this machine, or none answers for 600 s.",
    "It was tripped since the machine was started: no server has answered.",
    "my data is suspended: nightlatch resume 'my data', or by its passphrase cryptsetup luksResume 'my data'",
  ]);
  assert.deepEqual(tetherJson(report), {
    after: 600_000,
    action: "suspend",
    tripped: "gone",
    suspended: ["my data"],
  });
  assert.equal(await lookForTether(system, null), null);
  const off = await lookForTether(fakeSystem({}), { afterMs: null, action: "power-off", volumes: [] });
  assert.deepEqual(tetherLines(off), ["Tether: the machine goes off where a server has locked this machine."]);
});
