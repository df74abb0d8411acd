/** Which volumes a boot starts: systemd's own plan over random crypttab and fstab files, and ours. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { findStarts, isInBoot } from "../../src/check/start.ts";
import { parseCrypttab } from "../../src/formats/crypttab.ts";
import { parseFstab } from "../../src/formats/fstab.ts";
import { cmdline as cmdlineOf, volumes } from "./boot-grammar.ts";
import { noPlan, planBoot, unitOf } from "./boot-plan.ts";

const VOLUMES = 16;
const numRuns = process.env["NIGHTLATCH_TEST_FULL"] ? 400 : 8;
const seed = Number(process.env["NIGHTLATCH_TEST_SEED"] ?? 20261128);
const REMOTE = "remote-cryptsetup.target";
/** Most boots have a plain one, for a list of volumes leaves little to plan. */
const someCmdline = fc.oneof({ arbitrary: fc.constant("quiet"), weight: 3 }, cmdlineOf(VOLUMES - 1));
const latin1 = (text: string): string => Buffer.from(text).toString("latin1");

test("a boot starts the volumes that we say it starts", { skip: noPlan }, (t) => {
  let count = 0;
  let cyclic = 0;
  const kinds: Record<string, number> = {};
  fc.assert(
    fc.property(volumes(VOLUMES), fc.boolean(), someCmdline, (all, startsRemote, cmdline) => {
      const crypttab = Buffer.from(all.map(({ line }) => `${line}\n`).join(""), "latin1");
      const fstab = Buffer.from(all.flatMap(({ mounts }) => mounts.map((line) => `${line}\n`)).join(""), "latin1");
      const { jobs, cycles } = planBoot({ crypttab, fstab, enabled: startsRemote ? [REMOTE] : [], cmdline });
      // Which jobs systemd drops is its own choice, and check/cycle tells of it.
      if (cycles.length > 0) {
        cyclic++;
        return;
      }
      const read = parseCrypttab(crypttab);
      const starts = findStarts({ crypttab: read, mounts: parseFstab(fstab), startsRemote, cmdline });
      const differ: string[] = [];
      for (const { volume, fields } of read.entries) {
        const start = starts.get(volume);
        assert.ok(start !== undefined);
        count++;
        kinds[start.by] = (kinds[start.by] ?? 0) + 1;
        if (start.by === "unsure") continue;
        if (isInBoot(start) !== jobs.has(unitOf(latin1(volume)))) {
          differ.push(`${fields.join(" ")}: ${JSON.stringify(start)}`);
        }
      }
      assert.deepEqual(differ, [], `remote: ${startsRemote}; ${cmdline}\n${crypttab}\n${fstab}`);
    }),
    { numRuns, seed, endOnFailure: process.env["SHRINK"] === undefined },
  );
  t.diagnostic(
    `seed ${seed}: ${numRuns} boots, ${count} volumes (${JSON.stringify(kinds)}), ${cyclic} boots with a cycle, no disagreement`,
  );
});
