// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { type FolderFacts, planOpening } from "../../../../../src/server/store/folder/plan.ts";

const nothing: FolderFacts = {
  folder: "/data",
  recordPath: "/data.id",
  record: null,
  hasStore: false,
  hasMasterKey: false,
  hasSealedMasterKey: false,
  strangers: [],
};
const ready = { store: "ABEiM0RVZneImaq7zN3u_w", state: "ready", reached: null } as const;
const creating = { ...ready, state: "creating", reached: null } as const;

test("keys are made where nothing ever was, or where a first start was interrupted", () => {
  assert.equal(planOpening(nothing), "create");
  for (const [hasStore, hasMasterKey] of [
    [false, false],
    [false, true],
    [true, true],
  ] as const) {
    assert.equal(planOpening({ ...nothing, record: creating, hasStore, hasMasterKey }), "resume");
  }
});

test("a whole store is opened, also where its record was lost", () => {
  assert.equal(planOpening({ ...nothing, record: ready, hasStore: true, hasMasterKey: true }), "open");
  assert.equal(planOpening({ ...nothing, hasStore: true, hasMasterKey: true }), "adopt");
  assert.equal(planOpening({ ...nothing, record: ready, hasStore: true, hasSealedMasterKey: true }), "open");
});

test("everything else is refused, with what to do", () => {
  const refused = (facts: Partial<FolderFacts>, code: string, message: RegExp, remedy: RegExp) => {
    assert.throws(
      () => planOpening({ ...nothing, ...facts }),
      (error: Error & { code?: string; remedy?: string; meaning?: string }) => {
        assert.equal(error.code, code);
        assert.match(error.message, message);
        assert.match(error.remedy ?? "", remedy);
        assert.notEqual(error.meaning, undefined);
        return true;
      },
    );
  };
  refused({ record: ready }, "store/missing", /is gone: \/data does not hold it/, /mounted.*remove \/data\.id/);
  refused({ record: ready, hasMasterKey: true }, "store/missing", /is gone/, /mounted/);
  refused({ hasMasterKey: true }, "store/missing", /a master key but no store/, /Restore \/data\/store\.sqlite/);
  refused(
    { hasSealedMasterKey: true },
    "store/missing",
    /sealed master key, but \/data holds no store/,
    /mounted.*remove/,
  );
  refused(
    { record: ready, hasStore: true },
    "store/master-key",
    /master\.key\) is missing/,
    /Restore \/data\/master\.key/,
  );
  refused({ hasStore: true }, "store/master-key", /is missing/, /Restore/);
  refused({ strangers: ["photos"] }, "store/not-empty", /other files \(photos\)/, /empty folder/);
});
