// @ts-nocheck
import { isError, NightlatchError } from "../../core/errors.ts";
import type { AttemptLimits } from "../../core/limits.ts";
import { tangHeader } from "../../formats/clevis/tang.ts";
import { encryptJwe, type FlattenedJwe } from "../../formats/jose/jwe.ts";
import { jwkOfPoint, type PublicJwk, pointOf, thumbprintOf } from "../../formats/jose/jwk.ts";
import { parseJson } from "../../formats/json/json.ts";
import { provision } from "../../formats/tang/ecmr.ts";
import {
  ADVERTISEMENT_BYTES,
  type Advertisement,
  isTrusted,
  parseAdvertisement,
  requireTrust,
  type Trust,
} from "../../formats/tang/tang.ts";
import type { System } from "../../system/port.ts";
import { redirectOf } from "../redirect.ts";
import { contentKeyOf } from "./exchange.ts";

const IV_BYTES = 12;

/** What is asked of a server, and what its answer has to satisfy. */
interface AdvertisementRequest extends AttemptLimits {
  /**
   * A signing key that has to sign too, beside those that the server advertises. It may be a hidden
   * one.
   */
  readonly kid?: string;
  readonly trust?: Trust;
}

/**
 * Fetches `GET {url}/adv[/{kid}]` and verifies it: every signing key that it lists has signed it.
 * It is not trusted yet unless `trust` is given.
 * @throws NightlatchError net/*, pin/bad-reply, tang/malformed, tang/untrusted, jws/*, jwk/*,
 *   json/*
 */
export async function fetchAdvertisement(
  system: Pick<System, "request">,
  url: string,
  { timeoutMs, signal, kid, trust }: AdvertisementRequest,
): Promise<Advertisement> {
  const response = await system.request({
    method: "GET",
    url: kid === undefined ? `${url}/adv` : `${url}/adv/${kid}`,
    timeoutMs: timeoutMs,
    limitBytes: ADVERTISEMENT_BYTES,
    ...(signal === undefined ? {} : { signal }),
  });
  if (response.status !== 200) {
    const redirect = redirectOf(url, response);
    if (redirect !== null) throw redirect;
    throw new NightlatchError("pin/bad-reply", `${hostOf(url)} gives no advertisement (status ${response.status})`, {
      remedy: "Check that this is the address of a tang server or of a latch.",
    });
  }
  const advertisement = parseAdvertisement(
    parseJson(response.body, "the advertisement", { lengthBytes: ADVERTISEMENT_BYTES }),
  );
  if (trust !== undefined) requireTrust(advertisement, trust);
  return advertisement;
}

/**
 * Fetches what a server advertises now, and lets keys vouch for it that were trusted before: one
 * that was rotated is hidden, and signs where it is asked to by its name. Whether one has is for
 * `isTrusted` to tell.
 * @param former the keys that were trusted
 * @throws NightlatchError as fetchAdvertisement
 */
export async function fetchSuccessorOf(
  system: Pick<System, "request">,
  url: string,
  former: readonly PublicJwk[],
  limits: AttemptLimits,
): Promise<Advertisement> {
  const advertisement = await fetchAdvertisement(system, url, limits);
  if (isTrusted(advertisement, { keys: former })) return advertisement;
  for (const key of former) {
    try {
      const named = await fetchAdvertisement(system, url, { ...limits, kid: thumbprintOf(key) });
      if (isTrusted(named, { keys: [key] })) return named;
    } catch (error) {
      if (!isError(error, "pin/bad-reply")) throw error; // the server has that key no more
    }
  }
  return advertisement;
}

/**
 * Seals a secret as `clevis encrypt tang` does, to the first exchange key of an advertisement that
 * is trusted already. The server takes no part in it.
 * @param url the address that a machine will ask: that of the tang, or a latch's
 */
export function sealToAdvertisement(
  system: Pick<System, "random">,
  url: string,
  advertisement: Advertisement,
  secret: Uint8Array,
): FlattenedJwe {
  const [exchangeKey] = advertisement.exchangeKeys;
  const { ephemeral, sharedX } = provision(pointOf(exchangeKey), (length) => system.random(length));
  using key = contentKeyOf(sharedX);
  const header = tangHeader({ url, exchangeKey, ephemeral: jwkOfPoint(ephemeral), keys: advertisement.keys });
  return encryptJwe(header, key.reveal(), system.random(IV_BYTES), secret);
}

/** An address may hold credentials, which no message repeats. */
function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : "the server";
}
