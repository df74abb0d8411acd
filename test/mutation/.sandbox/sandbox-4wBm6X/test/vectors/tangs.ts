/** test/vectors/clevis.json, and servers that play the tangs of it. */
// @ts-nocheck

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { CURVES } from "../../src/formats/jose/curve.ts";
import { hasThumbprint, parseEcPublicJwk, pointOf } from "../../src/formats/jose/jwk.ts";
import { type Json, type JsonObject, parseJson } from "../../src/formats/json/json.ts";
import { createMultiplier } from "../../src/formats/tang/ecmr.ts";
import { formatRecovery, parseRecoveryRequest } from "../../src/formats/tang/tang.ts";
import type { PinPower } from "../../src/pins/pin.ts";
import { bodyOf } from "../../src/system/http.ts";
import type { HttpRequest, HttpResponse } from "../../src/system/port.ts";
import { readEcPrivateJwk } from "../support/keys.ts";
import { NO_DEVICES } from "../support/no-devices.ts";

interface ClevisVectors {
  readonly plaintext: string;
  readonly servers: readonly {
    readonly url: string;
    readonly advertisement: JsonObject;
    readonly keys: readonly Json[];
  }[];
  /** The first server's advertisement after its keys were rotated. */
  readonly rotated: JsonObject;
  readonly cases: readonly { readonly name: string; readonly jwe: string }[];
  readonly luks2: { readonly passphrase: string; readonly token: JsonObject };
  readonly luks1: { readonly passphrase: string; readonly luksmeta: string };
}

const text = readFileSync(new URL("./clevis.json", import.meta.url));
export const clevisVectors = parseJson(text, "the vectors", { lengthBytes: 1 << 20 }) as unknown as ClevisVectors;

/** A request as a server sees it. */
export type Sent = Omit<HttpRequest, "body"> & { readonly body: Uint8Array };
export type Answer = (request: Sent) => Promise<HttpResponse> | HttpResponse;

/** Answers as the vectors' tangs would; `override` may answer first, for a server by its number. */
export function playTangs(override: (server: number, request: Sent) => ReturnType<Answer> | null = () => null): {
  readonly power: PinPower;
  readonly asked: string[];
} {
  const asked: string[] = [];
  const request = async (wanted: HttpRequest): Promise<HttpResponse> => {
    const request = { ...wanted, body: bodyOf(wanted) ?? Buffer.alloc(0) };
    asked.push(request.url);
    const at = clevisVectors.servers.findIndex(({ url }) => request.url.startsWith(`${url}/`));
    const server = clevisVectors.servers[at] ?? assert.fail(`nobody is at ${request.url}`);
    return (await override(at, request)) ?? recover(server, request);
  };
  return { power: { ...NO_DEVICES, request, random: randomBytes }, asked };
}

function recover(server: (typeof clevisVectors.servers)[number], request: Sent): HttpResponse {
  const kid = request.url.split("/rec/")[1] ?? "";
  const key = server.keys.map(readEcPrivateJwk).find((jwk) => hasThumbprint(jwk, kid));
  if (key === undefined) return { status: 404, contentType: "", body: Buffer.alloc(0) };
  const multiplier = createMultiplier(CURVES[key.crv], Buffer.from(key.d, "base64url"));
  const point = pointOf(parseEcPublicJwk(parseRecoveryRequest(request.body)));
  return {
    status: 200,
    contentType: "application/jwk+json",
    body: formatRecovery(multiplier.multiply(point)),
  };
}
