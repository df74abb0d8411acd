// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import type { AttemptLimits } from "../../core/limits.ts";
import type { Secret } from "../../core/secret.ts";
import type { TangPin } from "../../formats/clevis/tang.ts";
import { concatKdf } from "../../formats/jose/jwe.ts";
import { pointOf } from "../../formats/jose/jwk.ts";
import { parseRefusal } from "../../formats/own/refusal.ts";
import { beginRecovery, type Recovery } from "../../formats/tang/ecmr.ts";
import { formatRecovery, JWK_TYPE, parseRecoveryReply, RECOVERY_BYTES } from "../../formats/tang/tang.ts";
import type { HttpResponse } from "../../system/port.ts";
import type { PinPower } from "../pin.ts";
import { redirectOf } from "../redirect.ts";

const CONTENT_KEY_BYTES = 32;
const NOBODY = new Uint8Array(0);

/**
 * Gives the content key of a tang binding, with one `POST {url}/rec/{kid}`. The server sees a
 * blinded point and learns nothing of the key.
 * @returns two candidates, of which an honest answer makes one right: decryption tells (see
 *   ecmr.ts)
 * @throws NightlatchError net/*, pin/busy, pin/locked, pin/revoked, pin/unknown-key, pin/bad-reply
 */
export async function recoverTangKey(
  system: PinPower,
  pin: TangPin,
  limits: AttemptLimits,
): Promise<readonly [Secret, Secret]> {
  const [ephemeral, exchangeKey] = [pointOf(pin.ephemeral), pointOf(pin.exchangeKey)];
  let recovery: Recovery | undefined;
  const begin = () => {
    recovery ??= beginRecovery(ephemeral, exchangeKey, (length) => system.random(length));
    return recovery;
  };
  const response = await system.request({
    method: "POST",
    url: `${pin.url}/rec/${pin.kid}`,
    headers: { "content-type": JWK_TYPE },
    body: () => formatRecovery(begin().request),
    timeoutMs: limits.timeoutMs,
    limitBytes: RECOVERY_BYTES,
    ...(limits.signal === undefined ? {} : { signal: limits.signal }),
    onSent: () => begin().prepare(),
  });
  const server = new URL(pin.url).host;
  if (response.status !== 200) throw redirectOf(pin.url, response) ?? refusal(server, response);
  const [one, other] = finish(server, begin(), response, pin);
  return [contentKeyOf(one, pin), contentKeyOf(other, pin)];
}

/**
 * Derives the content key by ECDH-ES in direct mode for A256GCM (RFC 7518 section 4.6).
 * @param sharedX the x coordinate of K, of its curve's length; it is wiped
 */
export function contentKeyOf(
  sharedX: Uint8Array,
  parties: { readonly partyU: Uint8Array; readonly partyV: Uint8Array } = { partyU: NOBODY, partyV: NOBODY },
): Secret {
  const { partyU, partyV } = parties;
  const key = concatKdf(sharedX, { algorithm: "A256GCM", lengthBytes: CONTENT_KEY_BYTES, partyU, partyV });
  sharedX.fill(0);
  return key;
}

function finish(server: string, recovery: Recovery, response: HttpResponse, pin: TangPin): readonly [Buffer, Buffer] {
  try {
    return recovery.finish(parseRecoveryReply(response.body, pin.ephemeral.crv));
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    throw new NightlatchError("pin/bad-reply", `${server} did not answer as a key server: ${error.message}`, {
      remedy: "Check that the address in the binding is the key server's, and no login page or proxy is in between.",
    });
  }
}

/**
 * Makes the error for an answer that gives no key. Only what our own server says in its own words
 * is final: docs/decisions/074-what-may-pass-is-asked-again.md. A proxy that is starting, a portal
 * that wants a login or a firewall may answer in a key server's place, and that passes.
 */
function refusal(server: string, { status, body }: HttpResponse): NightlatchError {
  const code = status === 403 || status === 410 ? parseRefusal(body) : null;
  if (code === "machine/locked") {
    return new NightlatchError("pin/locked", `${server} refuses to release the key`, {
      meaning:
        "The machine is locked at the server, or its policy there wants a lease. The volume itself is unchanged.",
      remedy: "See, at the server: nightlatch machine list. Or type the volume's passphrase.",
    });
  }
  if (code === "latch/revoked") {
    return new NightlatchError("pin/revoked", `${server} has revoked the key for good`, {
      meaning: "Its half of the key was destroyed: this binding will never open the volume again.",
      remedy: "Type the volume's passphrase; bind the volume anew if the machine is trusted again.",
    });
  }
  if (status === 404) {
    return new NightlatchError("pin/unknown-key", `${server} does not know the key that the volume is bound to`, {
      remedy:
        "Check that no proxy answers in the server's place, and that the server's store was not replaced by another; " +
        "else bind the volume anew.",
    });
  }
  if (status === 429 || status >= 500) {
    return new NightlatchError("pin/busy", `${server} cannot release the key at the moment (status ${status})`);
  }
  return new NightlatchError("pin/bad-reply", `${server} did not answer as a key server (status ${status})`, {
    remedy: "Check that the address in the binding is the key server's, and no login page or proxy is in between.",
  });
}
