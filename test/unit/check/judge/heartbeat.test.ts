import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeHeartbeat } from "../../../../src/check/judge/heartbeat.ts";
import { machine } from "../../../support/machine-facts.ts";

const KEYS = "http://keys:7654";
const HEARD = { isTethers: false, runs: true, strangers: [], enrolled: [KEYS], silent: [] } as const;
const UNIT = "nightlatch-heartbeat.service";
const found = (facts: Parameters<typeof machine>[0]) => judgeHeartbeat(machine(facts));

test("where nobody counts on heartbeats, or every server hears them, nothing is found", () => {
  assert.deepEqual(found({ heartbeat: null }), []);
  assert.deepEqual(found({ heartbeat: HEARD }), []);
});

test("an address where the machine is not enrolled is told, since nothing is sent then", () => {
  const [finding, ...others] = found({ heartbeat: { ...HEARD, strangers: ["http://kyes:7654"] } });
  assert.deepEqual(others, []);
  assert.equal(finding?.subject, "/etc/nightlatch/agent.toml");
  assert.match(finding?.text ?? "", /^\[heartbeat\] names http:\/\/kyes:7654, where this machine is not enrolled/);
  assert.deepEqual(finding?.remedy.split("\n"), [
    `write servers = ["${KEYS}"] into its [heartbeat], or leave servers out`,
    `systemctl restart ${UNIT}`,
  ]);
});

test("a sender that does not run is told once: of the tether, where there is one", () => {
  const [finding] = found({ heartbeat: { ...HEARD, runs: false } });
  assert.deepEqual([finding?.subject, finding?.remedy], [UNIT, `systemctl enable --now ${UNIT}`]);
  assert.deepEqual(found({ heartbeat: { ...HEARD, runs: false, isTethers: true } }), []);
});

test("each server that does not answer is told, and for how long", () => {
  const silent = [
    { url: KEYS, name: "nas", silentMs: null },
    { url: "http://b:7654", name: "nas", silentMs: 150_999 },
  ];
  const findings = found({ heartbeat: { ...HEARD, silent } });
  assert.deepEqual(
    findings.map(({ subject, text }) => `${subject} ${text.slice(0, text.indexOf(":"))}`),
    ["keys:7654 has answered no heartbeat since the machine was started", "b:7654 has answered no heartbeat for 150 s"],
  );
  assert.match(findings[0]?.remedy ?? "", /nightlatch machine unlock nas$/);
});
