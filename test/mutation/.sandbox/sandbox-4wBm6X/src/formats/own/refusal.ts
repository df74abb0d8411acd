// @ts-nocheck
import { isJsonObject, parseJson } from "../json/json.ts";
import { isTextLike } from "../json/narrow.ts";

/** A refusal's body has at most this. A proxy's page may be longer, and is none. */
const REFUSAL_BYTES = 16_384;

/**
 * Gives the code of a refusal of our server's, `{"error":CODE}`; null where the body holds none, as
 * a proxy's page.
 */
export function parseRefusal(body: Uint8Array): string | null {
  try {
    const json = parseJson(body, "the refusal", { lengthBytes: REFUSAL_BYTES, depth: 2 });
    const code = isJsonObject(json) ? json["error"] : undefined;
    return isTextLike(code, /^[a-z-]{1,32}\/[a-z-]{1,32}$/) ? code : null;
  } catch {
    return null;
  }
}
