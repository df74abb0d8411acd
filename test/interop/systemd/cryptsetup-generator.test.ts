/**
 * What an initramfs will open, by us and by systemd's own generator, over random crypttab files and
 * command lines from the grammar of crypttab(5) and systemd-cryptsetup-generator(8).
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { askGenerator } from "../../../src/boot/initramfs/cryptsetup-generator.ts";
import { neededVolumes } from "../../../src/boot/initramfs/needed.ts";
import { isError } from "../../../src/core/errors.ts";
import type { PlannedVolume, RebootPlan } from "../../../src/reboot/plan/reboot-plan.ts";
import { proveOverlay } from "../../../src/reboot/proof/overlay.ts";
import { nodeSystem } from "../../../src/system/node.ts";

const skip = existsSync("/usr/lib/systemd/system-generators/systemd-cryptsetup-generator")
  ? false
  : "this system has no systemd-cryptsetup-generator";
const numRuns = process.env["NIGHTLATCH_TEST_FULL"] ? 1500 : 80;

const UUIDS = [1, 2, 3].map((n) => `${n}1111111-2222-3333-4444-555555555555`);
const uuid = fc.constantFrom(...UUIDS);
const options = fc
  .subarray([
    "luks",
    "discard",
    "tries=1",
    "noauto",
    "nofail",
    "x-initrd.attach",
    "tpm2-device=auto",
    "fido2-device=auto",
    "timeout=90",
    "keyfile-size=32",
    "key-slot=1",
    "headless=true",
  ])
  .map((list) => list.join(",") || "luks");
const key = fc.constantFrom("none", "-", "/etc/keys/a.key");
const space = fc.constantFrom(" ", "\t", "  ");
const line = fc.oneof(
  { arbitrary: fc.tuple(uuid, key, options, space), weight: 6 },
  { arbitrary: fc.constantFrom("# a remark", "", "   ", "word", "#root UUID=x"), weight: 1 },
);
/** Names are not given twice: systemd refuses the second unit. */
const crypttab = fc
  .array(line, { maxLength: 4 })
  .map((lines) =>
    lines
      .map((entry, index) =>
        typeof entry === "string"
          ? entry
          : `v${index}${entry[3]}UUID=${entry[0]}${entry[3]}${entry[1]}${entry[3]}${entry[2]}${index === 1 ? " # more" : ""}`,
      )
      .join("\n"),
  );
const prefix = fc.constantFrom("rd.luks", "luks");
const word = fc.oneof(
  { arbitrary: fc.tuple(prefix, uuid).map(([p, u]) => `${p}.uuid=${u}`), weight: 3 },
  fc.tuple(prefix, uuid).map(([p, u]) => `${p}.uuid=luks-${u}`),
  fc.tuple(prefix, uuid).map(([p, u]) => `${p}.name=${u}=named${u[0]}`),
  { arbitrary: fc.tuple(prefix, uuid, options).map(([p, u, o]) => `${p}.options=${u}=${o}`), weight: 2 },
  fc.tuple(prefix, options).map(([p, o]) => `${p}.options=${o}`),
  fc.tuple(prefix, fc.constantFrom("0", "no", "1", "yes")).map(([p, v]) => `${p}.crypttab=${v}`),
  fc.tuple(prefix, fc.constantFrom("0", "1", "no", "yes")).map(([p, v]) => `${p}=${v}`),
  fc.constantFrom("quiet", "root=/dev/mapper/v0", 'x="a b"'),
);
const cmdline = fc.array(word, { maxLength: 5 }).map((words) => ["ro", ...words].join(" "));

const facts = (text: string) => ({ crypttab: text, ownCmdline: "" });

test("what is opened, and by which name, is what the generator says", { skip }, async (t) => {
  let volumes = 0;
  await fc.assert(
    fc.asyncProperty(crypttab, cmdline, async (text, words) => {
      const asked = await askGenerator(nodeSystem, `${text}\n`, words);
      assert.ok(asked !== null);
      const opened = asked.filter((attach) => !attach.options.includes("noauto"));
      const needed = neededVolumes("dracut-systemd", facts(text), words).volumes;
      const ours = needed.filter((volume) => !volume.options.includes("noauto"));
      assert.deepEqual(ours.map(({ name }) => name).sort(), opened.map(({ name }) => name).sort());
      for (const volume of ours) {
        const theirs = opened.find(({ name }) => name === volume.name)?.options ?? [];
        for (const option of ["tpm2-device=auto", "fido2-device=auto", "tries=1"]) {
          assert.equal(volume.options.includes(option), theirs.includes(option), `${volume.name}: ${option}`);
        }
      }
      volumes += opened.length;
    }),
    { numRuns },
  );
  t.diagnostic(`${numRuns} files and command lines, ${volumes} volumes, no disagreement`);
});

const found = { device: "/dev/x", header: null };

test("every key of the overlay reaches systemd-cryptsetup, or the overlay is refused", { skip }, async (t) => {
  let keys = 0;
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(crypttab, cmdline, async (text, words) => {
      const needed = neededVolumes("dracut-systemd", facts(text), words);
      const volumes = needed.volumes.map(
        (entry): PlannedVolume => ({
          stage: "initramfs",
          name: entry.name,
          found,
          line: entry,
          mayFail: false,
          opening: { kind: "disposable" },
        }),
      );
      const plan = { generator: "dracut-systemd", cmdline: needed.cmdline, volumes } as unknown as RebootPlan;
      try {
        const proved = await proveOverlay(nodeSystem, plan);
        for (const { opening } of proved.volumes) assert.ok(opening.kind === "disposable" && opening.heardBy);
        keys += proved.volumes.length;
      } catch (error) {
        assert.ok(isError(error, "reboot/not-proved"), String(error));
        // Only what the crypttab itself keeps shut, or says twice, may be refused.
        assert.ok(
          /noauto/.test(text + words) ||
            new Set(needed.volumes.map(({ source }) => source)).size < needed.volumes.length,
          error.message,
        );
        refused++;
      }
    }),
    { numRuns },
  );
  t.diagnostic(`${numRuns} files and command lines, ${keys} keys used, ${refused} refused`);
});

test("a name that stands twice, which the generator fails at, is refused", { skip }, async () => {
  const lines = UUIDS.slice(0, 2).map((id) => `twice UUID=${id} none luks`);
  const needed = neededVolumes("dracut-systemd", facts(lines.join("\n")), "ro");
  const volumes = needed.volumes.map(
    (entry): PlannedVolume => ({
      stage: "initramfs",
      name: entry.name,
      found,
      line: entry,
      mayFail: false,
      opening: { kind: "disposable" },
    }),
  );
  const plan = { generator: "dracut-systemd", cmdline: needed.cmdline, volumes } as unknown as RebootPlan;
  await assert.rejects(proveOverlay(nodeSystem, plan), (error) => isError(error, "reboot/not-proved"));
});
