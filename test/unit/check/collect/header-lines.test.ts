import assert from "node:assert/strict";
import { test } from "node:test";
import type { EarlyBoot } from "../../../../src/check/collect/early-boot.ts";
import { hasHeader } from "../../../../src/check/collect/header-lines.ts";
import { parseCrypttab } from "../../../../src/formats/systemd/crypttab.ts";

const UUID = "10000000-0000-4000-8000-000000000002";

function entryOf(line: string) {
  const [entry] = parseCrypttab(Buffer.from(`${line}\n`)).entries;
  assert.ok(entry !== undefined);
  return entry;
}

/** An initramfs of this generator that opens these; null: it cannot be read. */
function early(generator: "initramfs-tools" | "dracut" | null, ...sources: readonly string[]): Pick<EarlyBoot, "next"> {
  if (generator === null) return { next: null };
  const volumes = sources.map((source) => ({ name: "cryptswap", source, key: "none", options: ["luks", "swap"] }));
  return { next: { facts: { generator }, volumes } as unknown as EarlyBoot["next"] };
}

test("what Debian's initramfs opens has a header, whether it is marked as swap or not", () => {
  const swap = `cryptswap UUID=${UUID} none luks,swap`;
  const rows: readonly [line: string, Pick<EarlyBoot, "next">, expected: boolean][] = [
    [`data UUID=${UUID} none luks`, early(null), true],
    [`data UUID=${UUID} none plain`, early("initramfs-tools", `UUID=${UUID}`), false],
    // systemd takes these for plain: the last word counts.
    [swap, early("initramfs-tools"), false],
    [swap, early("dracut", `UUID=${UUID}`), false],
    [`${swap},initramfs`, early("dracut", `UUID=${UUID}`), false],
    // initramfs-tools passes them over.
    [swap, early("initramfs-tools", `UUID=${UUID}`), true],
    [`tmp UUID=${UUID} none tmp,luks`, early("initramfs-tools", `UUID=${UUID}`), true],
    [`cryptswap UUID=${UUID} none swap`, early("initramfs-tools", `UUID=${UUID}`), true],
    // Debian's own mark stands for an image that cannot be read, or is to be made anew.
    [`${swap},initramfs`, early("initramfs-tools"), true],
    [`${swap},initramfs`, early(null), true],
    [swap, early(null), false],
    [`cryptswap UUID=${UUID} /dev/urandom luks,swap,initramfs`, early(null), false],
    [`cryptswap UUID=${UUID} none plain,swap`, early("initramfs-tools", `UUID=${UUID}`), false],
  ];
  for (const [line, boot, expected] of rows) assert.equal(hasHeader(entryOf(line), boot), expected, line);
});
