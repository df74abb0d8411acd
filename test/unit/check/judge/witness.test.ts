import assert from "node:assert/strict";
import { test } from "node:test";
import type { WitnessFacts } from "../../../../src/check/judge/facts.ts";
import { judgeWitness } from "../../../../src/check/judge/witness.ts";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { machine } from "../../../support/machine-facts.ts";

const NOT_SIGNED = new NightlatchError("receipt/not-cosigned", "the log of keys:7654 is not signed", { remedy: "ask" });
const BACK = new NightlatchError("receipt/went-back", "keys:7654 shows another log", { remedy: "accept it" });
const FLAW = { host: "keys:7654", error: NOT_SIGNED, unsigned: ["nightlatch/b/witness"] };
const found = (witness: WitnessFacts | null) => judgeWitness(machine({ witness }));

test("where no witness is wanted, or all have signed, nothing is found", () => {
  assert.deepEqual(found(null), []);
  assert.deepEqual(found({ missing: "refuse", flaws: [] }), []);
});

test("a witness that has not signed is named; it is an error where the server is to be refused for it", () => {
  const [told] = found({ missing: "tell", flaws: [FLAW] });
  assert.deepEqual(
    [told?.severity, told?.subject, told?.text],
    [
      "warning",
      "keys:7654",
      "the log of keys:7654 is not signed; missing: nightlatch/b/witness [receipt/not-cosigned]",
    ],
  );
  assert.match(told?.remedy ?? "", /nightlatch witness ask URL KEY\nnightlatch receipt show$/);
  const [refused] = found({ missing: "refuse", flaws: [FLAW] });
  assert.equal(refused?.severity, "error");
  assert.match(refused?.text ?? "", /After the next release it is asked for no key any more$/);
});

test("what else is wrong with a log is told with its own remedy", () => {
  const [finding] = found({ missing: "tell", flaws: [{ ...FLAW, error: BACK, unsigned: [] }] });
  assert.deepEqual([finding?.text, finding?.remedy], ["keys:7654 shows another log [receipt/went-back]", "accept it"]);
});

test("a key that is wrong in the file is told once, of the file", () => {
  const error = new NightlatchError("agent/bad-config", "the key was changed", {
    meaning: "Unknown.",
    remedy: "take it",
  });
  const flaw = { ...FLAW, error, unsigned: [] };
  const findings = found({ missing: "tell", flaws: [flaw, { ...flaw, host: "b:7654" }] });
  assert.deepEqual(findings, [
    {
      code: "check/witness",
      severity: "error",
      subject: "/etc/nightlatch/agent.toml",
      text: "the key was changed. Unknown.",
      remedy: "take it",
    },
  ]);
});
