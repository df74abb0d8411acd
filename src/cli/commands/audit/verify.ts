import { createPublicKey, type KeyObject } from "node:crypto";
import { NightlatchError } from "../../../core/errors.ts";
import { printable } from "../../../core/text.ts";
import { exportPublicJwk, thumbprintOf } from "../../../formats/jose/jwk.ts";
import { formatNote, formatVerifier, originOf, parseNote, type SignedCheckpoint } from "../../../formats/log/note.ts";
import { LINE_BYTES, verifyExport } from "../../../server/audit/exported.ts";
import { type NumberedCosignature, verifyLog } from "../../../server/audit/verify.ts";
import type { System } from "../../../system/port.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../../command.ts";
import { timeText } from "../../time-text.ts";
import { openSource, SOURCE_OPTIONS } from "./source.ts";

const OPTIONS = {
  ...SOURCE_OPTIONS,
  log: { value: "FILE", help: "verify a file that nightlatch audit export wrote" },
  verifier: { value: "KEY", help: "with --log: the server's verifier key, as it was written down before" },
  witness: {
    value: "KEYS",
    help: "with --log: verifier keys of witnesses that must have signed, with spaces in between",
  },
  after: { value: "FILE", help: "a checkpoint that was kept elsewhere: the log must have grown from it" },
  save: { value: "FILE", help: "write the log's checkpoint to FILE, to be kept elsewhere" },
} as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "audit verify",
  summary: "check that nothing in the server's log was changed, removed or cut off",
  options: OPTIONS,
  details: `Recomputes the log's Merkle tree, holds every signed checkpoint to it, and the machines, latches, keys and invites in the store to
what the log says of them. A server may run meanwhile. Whoever replaces the whole folder with an older copy of it cannot be found out from the
folder alone: keep a checkpoint on another machine and give it with --after. The checkpoint is printed last, as a signed note: to keep that text is
to keep the checkpoint.

  nightlatch audit verify --after yesterday.note --save today.note`,
  run,
});

async function run(input: Input): Promise<ExitStatus> {
  const { options, system, terminal } = input;
  if (options.log !== undefined) return await verifyFile(input, options.log);
  if (options.verifier !== undefined) throw wrong("--verifier goes with --log");
  if (options.witness !== undefined) throw wrong("--witness goes with --log");
  using source = await openSource("audit verify", options, system);
  const { snapshot } = source;
  const after = options.after;
  const earlier = after === undefined ? null : await readCheckpoint(system, after, snapshot.identity);
  const { last, cosigned, ...counts } = await verifyLog(source, earlier);
  const note = formatNote(last, snapshot.identity);
  const save = options.save;
  if (save !== undefined) await system.writeFile(save, Buffer.from(note), 0o644);
  const identity = thumbprintOf(exportPublicJwk(snapshot.identity));
  const verifier = formatVerifier(originOf(snapshot.storeId), snapshot.identity);
  terminal.line(
    `The log is whole: ${counts.entries} entries under ${counts.checkpoints} checkpoints, ` +
      `${counts.machines} machines, ${counts.latches} latches.`,
  );
  if (earlier !== null) terminal.line(`It has grown from the ${earlier.size} entries of ${after}.`);
  tellCosigned(terminal, cosigned);
  terminal.line(`Signed by ${identity}\n\n${note}`);
  terminal.result({
    ok: true,
    store: snapshot.storeId,
    identity,
    verifier,
    ...counts,
    cosigned: cosigned.map(cosignedJson),
    checkpoint: note,
  });
  return 0;
}

async function verifyFile({ options, system, terminal }: Input, path: string): Promise<ExitStatus> {
  const { data, admin, after, save, verifier: trusted } = options;
  if (data !== undefined || admin !== undefined) throw wrong("--log goes without --data and --admin");
  const earlier = async (key: KeyObject) => (after === undefined ? null : readCheckpoint(system, after, key));
  const wanted = options.witness?.split(" ").filter((key) => key !== "") ?? [];
  const lines = linesOf(system, path);
  const { entries, identity, verifier, last, cosigned } = await verifyExport(lines, trusted ?? null, earlier, wanted);
  const note = formatNote(last, identity);
  if (save !== undefined) await system.writeFile(save, Buffer.from(note), 0o644);
  const thumbprint = thumbprintOf(exportPublicJwk(identity));
  terminal.line(`The file is whole: ${entries} entries, as the server signed them.`);
  if (after !== undefined) terminal.line(`It has grown from the checkpoint in ${after}.`);
  if (trusted === undefined)
    terminal.line(`That the key is the server's own the file cannot say. Compare it: ${verifier}`);
  tellCosigned(terminal, cosigned);
  for (const { verifier: own } of cosigned)
    if (!wanted.includes(own)) terminal.line(`Whose a witness's key is the file cannot say. Compare it: ${own}`);
  terminal.line(`Signed by ${thumbprint}\n\n${note}`);
  terminal.result({
    ok: true,
    identity: thumbprint,
    verifier,
    trusted: trusted !== undefined,
    entries,
    cosigned: cosigned.map((found) => ({ ...cosignedJson(found), trusted: wanted.includes(found.verifier) })),
    checkpoint: note,
  });
  return 0;
}

function cosignedJson({ size, witness, cosignature }: NumberedCosignature) {
  return { witness: witness.origin, size, at: new Date(cosignature.seconds * 1000).toISOString() };
}

function tellCosigned(terminal: Input["terminal"], cosigned: readonly NumberedCosignature[]): void {
  for (const { witness, size, at } of cosigned.map(cosignedJson))
    terminal.line(`Cosigned by ${printable(witness)}, of its first ${size} entries, ${timeText(at)}.`);
}

const CHUNK_BYTES = 1 << 20;

/** The lines of a file of any length, one chunk of it in memory. */
async function* linesOf(system: Pick<System, "readAt">, path: string): AsyncGenerator<Buffer> {
  let rest = Buffer.alloc(0);
  for (let at = 0; ; at += CHUNK_BYTES) {
    const chunk = await system.readAt(path, at, CHUNK_BYTES);
    rest = Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      yield rest.subarray(0, end);
      rest = rest.subarray(end + 1);
    }
    if (rest.length > LINE_BYTES) break; // too long to be a line
    if (chunk.length < CHUNK_BYTES) break;
  }
  if (rest.length > 0) yield rest.subarray(0, LINE_BYTES + 1);
}

function wrong(what: string): NightlatchError {
  return new NightlatchError("usage/wrong", `audit verify: ${what}`, { remedy: "See: nightlatch audit verify --help" });
}

const MAX_NOTE_BYTES = 4096;

async function readCheckpoint(
  system: Pick<System, "readFile">,
  path: string,
  identity: KeyObject,
): Promise<SignedCheckpoint> {
  const text = (await system.readFile(path, MAX_NOTE_BYTES)).toString("utf8");
  const checkpoint = parseNote(text, createPublicKey(identity.export({ format: "pem", type: "spki" })));
  if (checkpoint !== null) return checkpoint;
  throw new NightlatchError("audit/broken", `${path} is not a checkpoint of this server's identity`, {
    meaning: "Either the file is another one's, or the server's store was replaced by one with another identity.",
    remedy: "Compare the thumbprint that machines keep (server.json, thp) with that of: nightlatch audit verify",
  });
}
