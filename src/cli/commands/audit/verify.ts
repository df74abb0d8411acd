import { createPublicKey } from "node:crypto";
import { NightlatchError } from "../../../core/errors.ts";
import { SERVER_STORE } from "../../../core/places.ts";
import { exportPublicJwk, thumbprintOf } from "../../../formats/jose/jwk.ts";
import { formatNote, formatVerifier, originOf, parseNote, type SignedCheckpoint } from "../../../formats/log/note.ts";
import { type AuditSource, type Snapshot, verifyLog } from "../../../server/audit/verify.ts";
import { storePath } from "../../../server/store/folder/paths.ts";
import { openAuditSource } from "../../../server/store/sqlite/audit-source.ts";
import type { System } from "../../../system/port.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../../command.ts";
import { openRemoteAudit } from "./remote.ts";

const OPTIONS = {
  data: { value: "DIR", help: `data folder of the server (default ${SERVER_STORE})` },
  admin: { value: "SOCKET", help: "ask the running server in place of reading its folder" },
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

async function run({ options, system, terminal }: Input): Promise<ExitStatus> {
  using source = await openSource(options, system);
  const { snapshot } = source;
  const after = options.after;
  const earlier = after === undefined ? null : await readCheckpoint(system, after, snapshot);
  const { last, ...counts } = await verifyLog(source, earlier);
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
  terminal.line(`Signed by ${identity}\n\n${note}`);
  terminal.result({ ok: true, store: snapshot.storeId, identity, verifier, ...counts, checkpoint: note });
  return 0;
}

async function openSource(
  { data, admin }: Input["options"],
  system: Pick<System, "request" | "stat">,
): Promise<AuditSource & Disposable> {
  if (data !== undefined && admin !== undefined) {
    throw new NightlatchError("usage/wrong", "audit verify: --data and --admin exclude each other", {
      remedy: "See: nightlatch audit verify --help",
    });
  }
  if (admin !== undefined) return openRemoteAudit(system, admin);
  const path = storePath(data ?? SERVER_STORE);
  if ((await system.stat(path)) !== null) return openAuditSource(path);
  throw new NightlatchError("store/missing", `there is no store at ${path}`, {
    remedy: "Name the server's data folder with --data, or its admin socket with --admin.",
  });
}

const MAX_NOTE_BYTES = 4096;

async function readCheckpoint(
  system: Pick<System, "readFile">,
  path: string,
  { identity }: Snapshot,
): Promise<SignedCheckpoint> {
  const text = (await system.readFile(path, MAX_NOTE_BYTES)).toString("utf8");
  const checkpoint = parseNote(text, createPublicKey(identity.export({ format: "pem", type: "spki" })));
  if (checkpoint !== null) return checkpoint;
  throw new NightlatchError("audit/broken", `${path} is not a checkpoint of this server's identity`, {
    meaning: "Either the file is another one's, or the server's store was replaced by one with another identity.",
    remedy: "Compare the thumbprint that machines keep (server.json, thp) with that of: nightlatch audit verify",
  });
}
