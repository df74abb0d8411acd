import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeTether } from "../../../../src/check/judge/tether.ts";
import { BINDING, EARLY, machine, volume } from "../../../support/machine-facts.ts";

const TETHER = { action: "suspend", volumes: [], strangers: [], idle: [] } as const;
const root = volume("root UUID=5678 none luks", { early: EARLY, bindings: [BINDING] });
const data = volume(undefined, { bindings: [BINDING] });
const found = (facts: Parameters<typeof machine>[0]) =>
  judgeTether(machine(facts)).map(({ subject, severity }) => `${severity} ${subject}`);
const NOTHING_TO_SUSPEND = ["warning /etc/nightlatch/agent.toml"];

test("without a tether nothing is found", () => {
  assert.deepEqual(found({ tether: null, volumes: [root] }), []);
});

test("a unit that does not run is told", () => {
  const idle = ["nightlatch-tether.service"];
  const [finding] = judgeTether(machine({ tether: { ...TETHER, idle }, volumes: [data] }));
  assert.match(finding?.text ?? "", /nightlatch-tether\.service/);
  assert.equal(finding?.remedy, "systemctl enable --now nightlatch-tether.service");
});

test("a name that is of no volume is told", () => {
  const [finding] = judgeTether(machine({ tether: { ...TETHER, strangers: ["dat"] }, volumes: [data] }));
  assert.equal(finding?.text, "[tether] suspends no dat: crypttab names no such volume, and none is open");
});

test("a tether that could suspend nothing is told, unless it is to switch the machine off", () => {
  assert.deepEqual(found({ tether: TETHER, volumes: [root, data] }), []);
  assert.deepEqual(found({ tether: TETHER, volumes: [root] }), NOTHING_TO_SUSPEND);
  assert.deepEqual(found({ tether: { ...TETHER, action: "power-off" }, volumes: [root] }), []);
  const other = volume(undefined, { bindings: [] });
  assert.deepEqual(found({ tether: TETHER, volumes: [root, other] }), NOTHING_TO_SUSPEND);
  const named = { ...TETHER, volumes: ["data"] };
  assert.deepEqual(found({ tether: named, volumes: [root, other] }), []);
});
