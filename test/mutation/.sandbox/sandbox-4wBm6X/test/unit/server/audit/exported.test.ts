/** The log as a file: what is written is verified anywhere, and nothing in it can be changed. */
// @ts-nocheck

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command as verify } from "../../../../src/cli/commands/audit/verify.ts";
import { formatNote, formatVerifier, originOf, parseVerifier } from "../../../../src/formats/log/note.ts";
import { exportLog, verifyExport } from "../../../../src/server/audit/exported.ts";
import { openAuditSource } from "../../../../src/server/store/sqlite/audit-source.ts";
import { nodeSystem } from "../../../../src/system/node.ts";
import { ask, enrolled, makeHome, openService } from "../../../support/server/harness.ts";
import { runCommand } from "../../../support/terminal.ts";

async function exported(folder: string) {
  using source = openAuditSource(join(folder, "store.sqlite"));
  const { storeId, identity } = source.snapshot;
  const pieces: Buffer[] = [];
  for await (const piece of exportLog(source)) pieces.push(piece);
  return { text: Buffer.concat(pieces).toString("utf8"), verifier: formatVerifier(originOf(storeId), identity) };
}

async function* linesOf(text: string): AsyncGenerator<Buffer> {
  for (const line of text.trimEnd().split("\n")) yield Buffer.from(line);
}

const none = () => Promise.resolve(null);

test("a log that is written and verified elsewhere; each change of it is found", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  await ask(service, latch);
  const before = await exported(home.folder);
  for (let releases = 0; releases < 5; releases++) await ask(service, latch, undefined, `192.0.2.${releases}`);
  const { text, verifier } = await exported(home.folder);
  const found = await verifyExport(linesOf(text), verifier, none);
  const earlier = (await verifyExport(linesOf(before.text), verifier, none)).last;
  assert.equal(found.entries, earlier.size + 5);
  await verifyExport(linesOf(text), null, () => Promise.resolve(earlier));

  const broken = (changed: string, what: string, kept: typeof earlier | null = null) =>
    assert.rejects(
      verifyExport(linesOf(changed), verifier, () => Promise.resolve(kept)),
      { code: "audit/broken" },
      what,
    );
  const lines = text.trimEnd().split("\n");
  const without = (index: number) => lines.filter((_, at) => at !== index).join("\n");
  for (const index of lines.keys()) {
    await broken(without(index), `without line ${index}`);
    await broken([...lines.slice(0, index), lines[index], ...lines.slice(index)].join("\n"), `line ${index} twice`);
    const line = lines[index] ?? "";
    const at = Math.floor(line.length / 2);
    const other = line[at] === "0" ? "1" : "0";
    await broken(
      lines
        .map((text, number) => (number === index ? line.slice(0, at) + other + line.slice(at + 1) : text))
        .join("\n"),
      `line ${index} changed`,
    );
  }
  await broken(text.replace("192.0.2.3", "192.0.2.9"), "another address");
  await broken(`${text}{}\n`, "more behind it");
  await broken("", "empty");
  await broken(before.text, "an older file", found.last);
  await broken(text, "a checkpoint that it has not grown from", { ...earlier, root: Buffer.alloc(32) });
  await assert.rejects(verifyExport(linesOf(text), `${verifier}x`, none), { code: "audit/broken" });

  // Another server's log is whole as well; only the key tells.
  using strangers = makeHome();
  await using stranger = await openService(strangers.folder);
  await enrolled(stranger, "nas");
  const foreign = await exported(strangers.folder);
  await verifyExport(linesOf(foreign.text), null, none);
  await broken(foreign.text, "another server's");

  const file = join(home.path, "nas.log");
  const note = join(home.path, "nas.note");
  writeFileSync(file, text);
  writeFileSync(note, formatNote(earlier, found.identity));
  const shown = await runCommand(verify, ["--log", file, "--verifier", verifier, "--after", note], nodeSystem);
  assert.match(shown.lines.join("\n"), /^The file is whole: \d+ entries/);
  assert.equal(shown.result["trusted"], true);
  writeFileSync(file, `${"x".repeat(3 << 20)}`);
  await assert.rejects(runCommand(verify, ["--log", file], nodeSystem), { code: "audit/broken" });
  await assert.rejects(runCommand(verify, ["--verifier", verifier], nodeSystem), { code: "usage/wrong" });
});

test("a verifier key that is none is refused", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { verifier } = await exported(home.folder);
  assert.ok(service.created);
  assert.ok(parseVerifier(verifier) !== null);
  const [name = "", id = "", key = ""] = verifier.split("+");
  for (const text of [
    "",
    name,
    `${name}+${id}`,
    `x+${id}+${key}`,
    `${name}+00000000+${key}`,
    `${name}+${id}+${"A".repeat(44)}`,
  ])
    assert.equal(parseVerifier(text), null, text);
});
