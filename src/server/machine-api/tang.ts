import { isError } from "../../core/errors.ts";
import { hasThumbprint } from "../../formats/jose/jwk.ts";
import type { JsonObject } from "../../formats/json/json.ts";
import {
  ADVERTISEMENT_TYPE,
  buildNamedAdvertisement,
  JWK_TYPE,
  parseRecoveryRequest,
} from "../../formats/tang/tang.ts";
import type { Reply } from "../http/reply.ts";
import { empty, refusal } from "../http/reply.ts";
import { parseStored, type ReleaseOutcome, release } from "../service/latches/release.ts";
import type { Service } from "../service/service.ts";

/**
 * Answers `GET /latch/{id}/adv[/{kid}]`. A locked latch still says which keys it has: they are
 * public.
 * @throws NightlatchError store/*
 */
export async function advertise(service: Service, latchId: string, kid: string | null): Promise<Reply> {
  const found = await service.store.transact(async (transaction) => {
    const latch = await transaction.latch(latchId);
    return latch === null ? null : { latch, keys: kid === null ? [] : await transaction.keys(latchId) };
  });
  if (found === null) return empty(404);
  if (found.latch.state === "revoked") return refusal(410, "latch/revoked");
  const signs = found.keys.some(
    (key) => key.purpose === "signing" && hasThumbprint(parseStored(key.publicJwk), kid ?? ""),
  );
  if (kid !== null && !signs) return empty(404);
  const { advertisement } = found.latch;
  const body = kid === null ? advertisement : JSON.stringify(buildNamedAdvertisement(JSON.parse(advertisement), kid));
  return { status: 200, headers: ["content-type", ADVERTISEMENT_TYPE], body };
}

/** Answers `POST /latch/{id}/rec/{kid}`. @throws NightlatchError store/* */
export async function recover(
  service: Service,
  target: { readonly latchId: string; readonly kid: string },
  body: Uint8Array,
  from: string,
): Promise<Reply> {
  let request: JsonObject;
  try {
    request = parseRecoveryRequest(body);
  } catch (error) {
    if (isError(error, "tang/malformed")) return empty(400);
    if (isError(error, "tang/forbidden-use")) return empty(403);
    throw error;
  }
  return replyTo(await release(service, { ...target, body: request, from }));
}

function replyTo(outcome: ReleaseOutcome): Reply {
  switch (outcome.kind) {
    case "released":
      return { status: 200, headers: ["content-type", JWK_TYPE], body: formatPoint(outcome.point) };
    case "refused":
      if (outcome.reason === "latch/revoked") return refusal(410, outcome.reason);
      // Why is for the log and the operator. Whoever asks learns no more than that it is not now.
      return refusal(403, "machine/locked");
    case "unknown":
      return empty(404);
    case "wrong-key":
      return empty(403);
    case "bad-point":
      return empty(400);
  }
}

/** Writes what formatRecovery of formats/tang/tang.ts does, from the point's bytes. */
function formatPoint(point: Buffer): string {
  const x = point.toString("base64url", 1, 33);
  const y = point.toString("base64url", 33, 65);
  return `{"alg":"ECMR","crv":"P-256","key_ops":["deriveKey"],"kty":"EC","x":"${x}","y":"${y}"}`;
}
