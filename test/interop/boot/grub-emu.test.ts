import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isError } from "../../../src/core/errors.ts";
import { choose } from "../../../src/formats/grub/default-entry.ts";
import { readGrubenv } from "../../../src/formats/grub/grubenv.ts";
import { runGrub } from "../../../src/formats/grub/menu.ts";
import type { GrubWorld } from "../../../src/formats/grub/world.ts";
import { askGrub, asProduct, type GrubAnswer, type GrubInput, sameText } from "../../support/grub/grub-emu.ts";
import { randomGrub } from "../../support/grub/scripts.ts";

const isFull = Boolean(process.env["NIGHTLATCH_TEST_FULL"]);
/** Each takes GRUB about a third of a second, on a machine that does nothing else. */
const INPUTS = Number(process.env["NIGHTLATCH_GRUB_INPUTS"] ?? (isFull ? 2000 : 60));
const SEED = Number(process.env["NIGHTLATCH_GRUB_SEED"] ?? (isFull ? Date.now() % 1_000_000 : 1));
const AT_ONCE = 2;

interface Ours {
  readonly boots: GrubAnswer["boots"];
  /** Where it boots before there is a menu: then the words are not kept. */
  readonly kernel: string | null;
  readonly environment: ReadonlyMap<string, string>;
}

function ours({ config, grubenv, files }: GrubInput): Ours {
  const { environment, grubenv: kind } = readGrubenv(grubenv);
  const world: GrubWorld = {
    prefix: "/boot/grub",
    platform: "efi",
    environment,
    grubenv: kind,
    files: new Map([...files].map(([name, text]) => [`/boot/grub/${name}`, asProduct(text)])),
    other: new Map([["/boot/grub", "directory"]]),
    blsEntries: [],
  };
  const { menu, saved } = runGrub(asProduct(config), world);
  const entry = choose(menu, menu.default)?.entry;
  const source = entry?.source ?? null;
  return {
    boots:
      source === null || source.linux.length === 0
        ? null
        : { linux: source.linux.join(" "), initrd: source.initrd.join(" ") },
    kernel: source === null ? (entry?.linux?.kernel ?? null) : null,
    environment: new Map([...environment, ...saved]),
  };
}

function disagreement(mine: Ours, grub: GrubAnswer): string | null {
  const told = JSON.stringify([mine.boots ?? mine.kernel, grub.boots]);
  if (mine.kernel !== null) return grub.boots?.linux.startsWith(`${mine.kernel} `) === true ? null : told;
  if ((mine.boots === null) !== (grub.boots === null)) return told;
  if (mine.boots !== null && grub.boots !== null) {
    if (!sameText(mine.boots.linux, grub.boots.linux) || !sameText(mine.boots.initrd, grub.boots.initrd)) return told;
  }
  const after = readGrubenv(grub.grubenv).environment;
  for (const name of new Set([...after.keys(), ...mine.environment.keys()])) {
    const [left, right] = [mine.environment.get(name) ?? "", after.get(name) ?? ""];
    if (left !== right) return `grubenv: ${name} is ${JSON.stringify(right)}, not ${JSON.stringify(left)}`;
  }
  return null;
}

test("random scripts and environments: what boots, with which words, and what is saved, is what GRUB does", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "nightlatch-grub-"));
  const refused = new Map<string, number>();
  const wrong: string[] = [];
  let next = 0;
  const work = async () => {
    while (next < INPUTS) {
      const seed = SEED * 10_000 + next++;
      const input = randomGrub(seed);
      let mine: Ours;
      try {
        mine = ours(input);
      } catch (error) {
        assert.ok(isError(error, "grub/unknown") || isError(error, "grub/malformed"), `seed ${seed}: ${error}`);
        const reason = `${error.code}: ${error.message.replaceAll(/\(.*\)|".*"/g, "…")}`;
        refused.set(reason, (refused.get(reason) ?? 0) + 1);
        continue;
      }
      const grub = await askGrub(input, join(folder, String(seed)));
      const told = disagreement(mine, grub);
      if (told === null) continue;
      await writeFile(join(tmpdir(), `grub-${seed}.cfg`), input.config);
      wrong.push(`seed ${seed}: ${told}`);
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  } finally {
    await rm(folder, { recursive: true });
  }
  const count = [...refused.values()].reduce((sum, one) => sum + one, 0);
  t.diagnostic(`${INPUTS} inputs from seed ${SEED}: ${wrong.length} disagreements, ${count} refused as not known`);
  for (const [reason, times] of refused) t.diagnostic(`${times} × ${reason}`);
  assert.deepEqual(wrong, []);
  // What is refused is not compared: it must stay the exception.
  assert.ok(count < INPUTS / 5);
});
