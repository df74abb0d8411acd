/** The log as a file: what is written is verified anywhere, and nothing in it can be changed. */
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
import { newWitness, signedBy } from "../../../support/server/witnessed-machine.ts";
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

test("what witnesses have signed is in the file, and nothing of it can be changed, moved or made up", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  const own = newWitness(`${originOf(service.storeId)}/witness`);
  const [a, b] = [newWitness("example/a"), newWitness("example/b")];
  const sizes: number[] = [];
  for (const signers of [[a], [a, b], [own, b]]) {
    await ask(service, latch);
    sizes.push(await signedBy(service, signers));
  }
  await ask(service, latch);
  const { text, verifier } = await exported(home.folder);
  const wanted = [a.verifier, b.verifier];
  const found = await verifyExport(linesOf(text), verifier, none, wanted);
  assert.deepEqual(
    found.cosigned.map(({ size, witness, verifier: key, cosignature: { seconds } }) => [
      size,
      witness.origin,
      key,
      seconds,
    ]),
    [
      [sizes[1], a.name, a.verifier, 1_800_000_000],
      [sizes[2], b.name, b.verifier, 1_800_000_000],
    ],
  );
  const lines = text.trimEnd().split("\n");
  const at = lines.flatMap((line, index) => (line.startsWith('{"cosigned":') ? [index] : []));
  assert.equal(at.length, 4, "the server's own word is none");
  const broken = (changed: readonly string[], message: RegExp, keys: readonly string[] = []) =>
    assert.rejects(verifyExport(linesOf(changed.join("\n")), verifier, none, keys), { code: "audit/broken", message });

  const [first = 0, ...others] = at;
  const cosigned = lines[first] ?? "";
  const rest = lines.filter((_, index) => index !== first);
  await broken(rest.toSpliced(first + 1, 0, cosigned), /stands behind \d+$/);
  await broken(rest.toSpliced(1, 0, cosigned), /stands behind 0$/);
  const changed = (one: object) => lines.with(first, JSON.stringify({ ...JSON.parse(cosigned), ...one }));
  await broken(changed({ witness: b.verifier }), /is not signed by it$/);
  await broken(changed({ witness: newWitness(a.name).verifier }), /is not signed by it$/);
  await broken(changed({ witness: "x" }), /is damaged$/);
  await broken(changed({ cosigned: 7 }), /is damaged$/);
  const { cosigned: note } = JSON.parse(cosigned) as { cosigned: string };
  const signature = note.lastIndexOf(" ") + 40;
  const flipped = note.slice(0, signature) + (note[signature] === "A" ? "B" : "A") + note.slice(signature + 1);
  await broken(changed({ cosigned: flipped }), /is not signed by it$/);
  const servers = note.indexOf("\n\n") + 2 + `— ${originOf(service.storeId)} `.length + 40;
  const unsigned = note.slice(0, servers) + (note[servers] === "A" ? "B" : "A") + note.slice(servers + 1);
  await broken(changed({ cosigned: unsigned }), /is not signed by the server$/);
  const [, size = ""] = /^[^\n]+\n(\d+)\n/.exec(note) ?? [];
  await broken(
    changed({ cosigned: note.replace(`\n${size}\n`, `\n${Number(size) + 1}\n`) }),
    /is not signed by the server$/,
  );
  const itsOwn = changed({ witness: own.verifier });
  await broken(itsOwn, /is not signed by it$/);

  // A line that is not there is missed by whoever knows the witness.
  const without = lines.filter((_, index) => index !== first && !others.includes(index));
  await verifyExport(linesOf(without.join("\n")), verifier, none);
  await broken(without, /^nothing in the file is signed by the witness example\/a\+/, wanted);
  const older = without.with(0, (without[0] ?? "").replace('"version":2', '"version":1'));
  assert.deepEqual((await verifyExport(linesOf(older.join("\n")), verifier, none)).cosigned, []);
  await broken(without.with(0, (without[0] ?? "").replace('"version":2', '"version":3')), /of version 3, which is not/);

  const file = join(home.path, "nas.log");
  writeFileSync(file, text);
  const args = ["--log", file, "--witness", a.verifier];
  const shown = await runCommand(verify, args, nodeSystem);
  assert.match(shown.lines.join("\n"), new RegExp(`Cosigned by example/a, of its first ${sizes[1]} entries, `));
  assert.ok(shown.lines.includes(`Whose a witness's key is the file cannot say. Compare it: ${b.verifier}`));
  assert.deepEqual(
    (shown.result["cosigned"] as { trusted: boolean }[]).map(({ trusted }) => trusted),
    [true, false],
  );
  await assert.rejects(runCommand(verify, ["--witness", a.verifier], nodeSystem), { code: "usage/wrong" });
});

test("a checkpoint that a witness has signed, and the server's store lacks, is told", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  await enrolled(service, "nas");
  await signedBy(service, [newWitness("example/a")]);
  using source = openAuditSource(join(home.folder, "store.sqlite"));
  const size = source.snapshot.range.size;
  const lacking = { ...source, checkpoints: async (after: number) => (after < size ? [] : source.checkpoints(after)) };
  const drain = async () => {
    for await (const _ of exportLog(lacking));
  };
  await assert.rejects(drain(), {
    code: "audit/broken",
    message: `example/a has signed ${size} entries, and the server has not`,
  });
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
