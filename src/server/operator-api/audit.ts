import { NightlatchError } from "../../core/errors.ts";
import { exportPublicJwk } from "../../formats/jose/jwk.ts";
import { formatCosignature } from "../../formats/log/cosignature.ts";
import { packRange } from "../../formats/log/merkle.ts";
import { COSIGNATURE, formatVerifier } from "../../formats/log/note.ts";
import { json, type Reply } from "../http/reply.ts";
import type { AuditReads } from "../store/port.ts";

/**
 * Answers `GET audit`, `audit/entries/FROM`, `audit/checkpoints/AFTER` and `audit/cosignatures` of
 * docs/format/admin.md.
 * Bytes are base64.
 * @throws NightlatchError request/malformed, store/*
 */
export async function showAudit(audit: AuditReads, [what, position]: readonly string[]): Promise<Reply> {
  if (what === undefined) {
    const { storeId, identity, range, ...known } = await audit.snapshot();
    const packed = packRange(range).toString("base64");
    return json(200, {
      store: storeId,
      identity: exportPublicJwk(identity).x,
      size: range.size,
      edge: packed,
      ...known,
    });
  }
  const number = Number(/^\d{1,15}$/.exec(position ?? "")?.[0] ?? Number.NaN);
  if (what === "entries" && !Number.isNaN(number)) {
    const entries = await audit.entries(number);
    return json(200, {
      entries: entries.map((entry) => ({ number: entry.number, body: entry.body.toString("base64") })),
    });
  }
  if (what === "checkpoints" && !Number.isNaN(number)) {
    const checkpoints = await audit.checkpoints(number);
    return json(200, {
      checkpoints: checkpoints.map(({ size, root, signature }) => ({
        size,
        root: root.toString("base64"),
        signature: signature.toString("base64"),
      })),
    });
  }
  if (what === "cosignatures" && position === undefined) {
    const cosignatures = await audit.cosignatures();
    return json(200, {
      cosignatures: cosignatures.map(({ size, witness, cosignature }) => ({
        size,
        verifier: formatVerifier(witness.origin, witness.publicKey, COSIGNATURE),
        line: formatCosignature(cosignature, witness),
      })),
    });
  }
  throw new NightlatchError("request/malformed", "the server does not know this part of the log");
}
