/** A machine's side of the wire, for tests against a server that runs as a process of its own. */
// @ts-nocheck

import { createECDH, generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { type EcPublicJwk, type PublicJwk, thumbprintOf } from "../../../src/formats/jose/jwk.ts";
import { buildEnrolRequest, identityThumbprint, parseEnrolAnswer } from "../../../src/formats/own/enrolment.ts";
import { parseInvite } from "../../../src/formats/own/invite.ts";
import type { Served } from "../serve.ts";

/** A latch that a machine has got over the network. */
export interface EnrolledLatch {
  /** Base address, as a clevis configuration names it. */
  readonly url: string;
  readonly latch: string;
  readonly exchange: EcPublicJwk;
  readonly signing: PublicJwk;
  /** Path of `POST /rec/{kid}`. */
  readonly recovery: string;
}

/** Invites a machine and enrols it. */
export async function enrolAt(server: Served, name: string): Promise<EnrolledLatch> {
  const { invite } = await server.json("machine", "invite", name);
  const { id, key, url, thumbprint } = parseInvite(String(invite));
  const identity = generateKeyPairSync("ed25519").privateKey;
  const request = buildEnrolRequest(identity, { id, key }, { nonce: randomBytes(16), volume: "7d5b2c1e" });
  const answer = await fetch(`${url}/enroll`, { method: "POST", body: new Uint8Array(request) });
  if (answer.status !== 200) throw new Error(`/enroll was answered ${answer.status}: ${await answer.text()}`);
  const { latch, advertisement } = parseEnrolAnswer(Buffer.from(await answer.arrayBuffer()), {
    request,
    machine: identityThumbprint(identity),
    serverThumbprint: thumbprint,
  });
  const [exchange] = advertisement.exchangeKeys;
  const [signing] = advertisement.signingKeys;
  const recovery = `/latch/${latch}/rec/${thumbprintOf(exchange)}`;
  return { url: `${url}/latch/${latch}`, latch, exchange, signing, recovery };
}

/** An answer as it came. */
export interface RawAnswer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/**
 * Sends one request on a connection of its own, exactly as it is written, and gives the answer.
 * tangd does not close the connection after it.
 */
export async function exchangeRaw(url: string, request: string | Buffer): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), timeout: SILENCE_MS });
  await once(socket, "connect");
  const ended = new AbortController();
  let answer: RawAnswer = { status: 0, head: "", body: "" };
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    const split = text.indexOf("\r\n\r\n");
    if (split < 0) return;
    const [head, body] = [text.slice(0, split), text.slice(split + 4)];
    answer = { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]), head, body };
    if (body.length >= Number(/content-length: *(\d+)/i.exec(head)?.[1])) ended.abort();
  });
  socket.on("error", () => {}); // a reset after the answer is the server's right
  for (const event of ["close", "timeout"]) socket.once(event, () => ended.abort());
  socket.write(request);
  if (!ended.signal.aborted) await once(ended.signal, "abort");
  socket.destroy();
  return answer;
}

/** What never answers is told apart from what answers late. */
const SILENCE_MS = 10_000;

/** A request that closes its connection. */
export function rawRequest(
  method: string,
  path: string,
  body: string | null = null,
  headers: readonly string[] = [],
): string {
  const length = body === null ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
  return [`${method} ${path} HTTP/1.1`, "Host: test", "Connection: close", ...headers, ...length, "", body ?? ""].join(
    "\r\n",
  );
}

const CURVES = { "P-256": ["prime256v1", 32], "P-384": ["secp384r1", 48], "P-521": ["secp521r1", 66] } as const;

interface WirePoint {
  readonly crv: string;
  readonly kty: string;
  readonly x: string;
  readonly y: string;
}

/** A public key drawn now, as a client sends it. */
export function randomPoint(crv: keyof typeof CURVES = "P-256"): WirePoint {
  const { d: _private, ...point } = randomKey(crv);
  return point;
}

/** With its private part, which no client should send. */
export function randomKey(crv: keyof typeof CURVES = "P-256"): WirePoint & { readonly d: string } {
  const [name, lengthBytes] = CURVES[crv];
  const ecdh = createECDH(name);
  const point = ecdh.generateKeys();
  const part = (from: number) => point.toString("base64url", from, from + lengthBytes);
  const d = Buffer.concat([Buffer.alloc(lengthBytes), ecdh.getPrivateKey()]).subarray(-lengthBytes);
  return { crv, kty: "EC", x: part(1), y: part(1 + lengthBytes), d: d.toString("base64url") };
}
