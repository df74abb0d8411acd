// @ts-nocheck
import type { KeyObject } from "node:crypto";
import { toBase64url } from "../../core/bytes.ts";
import { NightlatchError } from "../../core/errors.ts";
import { isInteger } from "../json/narrow.ts";
import {
  base64urlOf,
  digestOf,
  LATCH_ID_BYTES,
  malformedMessage,
  NONCE_BYTES,
  openMessage,
  requireMembers,
  sealMessage,
} from "./enrolment.ts";

/** What a machine says of a latch: docs/format/rotation.md. */
interface RotationQuestion {
  /** Thumbprint of the server that is asked: what is said to one is of no use at another. */
  readonly server: string;
  readonly latch: string;
  /** S256 thumbprint of the exchange key that the machine's new binding holds. */
  readonly kid: string;
  /** Whether the machine has no use for the latch's former keys any more. */
  readonly ends: boolean;
}

/** A request whose signature was verified. */
export interface RotationRequest extends RotationQuestion {
  /** The id of the machine whose identity signed it. */
  readonly machine: string;
}

/** What a server says of a latch's keys. */
export interface RotationAnswer {
  /** Whether the latch still has keys of a former epoch. */
  readonly hasFormer: boolean;
  /**
   * How long ago the latch's last release was, in milliseconds, where it was by the key that was
   * asked about. Null where it was by another, or the log does not tell exactly.
   */
  readonly releasedMs: number | null;
}

/** More than any machine is up. */
const MAX_MS = Number.MAX_SAFE_INTEGER;

/** Writes `POST {url}/machine/{machine}/rotation`, signed by the machine's identity. */
export function buildRotationRequest(identity: KeyObject, nonce: Uint8Array, question: RotationQuestion): Buffer {
  const { server, latch, kid, ends } = question;
  return sealMessage("nightlatch-rotation", identity, { nonce: toBase64url(nonce), server, latch, kid, ends });
}

/**
 * Reads a request, and verifies its signature.
 * @throws NightlatchError enrolment/malformed (also where the signature is wrong)
 */
export function parseRotationRequest(body: Uint8Array): RotationRequest {
  const what = "the rotation request";
  const { machine, payload } = openMessage("nightlatch-rotation", body, what);
  requireMembers(payload, ["ends", "kid", "latch", "nonce", "server"], what);
  base64urlOf(payload, "nonce", NONCE_BYTES);
  const { ends } = payload;
  if (typeof ends !== "boolean") malformedMessage(`${what} does not say whether the former keys may go`);
  return {
    machine,
    server: base64urlOf(payload, "server", 32),
    latch: base64urlOf(payload, "latch", LATCH_ID_BYTES),
    kid: base64urlOf(payload, "kid", 32),
    ends,
  };
}

/**
 * Writes the answer, signed by the server's identity.
 * @param request the body as it was received
 */
export function buildRotationAnswer(identity: KeyObject, request: Uint8Array, answer: RotationAnswer): Buffer {
  const { hasFormer: former, releasedMs: released } = answer;
  return sealMessage("nightlatch-rotation-answer", identity, { request: digestOf(request), former, released });
}

/**
 * Reads the answer, and verifies that this very server gives it to this very request.
 * @throws NightlatchError enrolment/malformed, enrolment/untrusted
 */
export function parseRotationAnswer(
  body: Uint8Array,
  expected: { readonly request: Uint8Array; readonly serverThumbprint: string },
): RotationAnswer {
  const what = "the server's answer";
  const { machine: server, payload } = openMessage("nightlatch-rotation-answer", body, what);
  requireMembers(payload, ["former", "released", "request"], what);
  const { former, released, request } = payload;
  if (server !== expected.serverThumbprint || request !== digestOf(expected.request)) {
    throw new NightlatchError("enrolment/untrusted", "somebody else answered in the server's place", {
      remedy: "Check the address in between.",
    });
  }
  if (typeof former !== "boolean") malformedMessage(`${what} does not say whether there are former keys`);
  if (released !== null && !isInteger(released, 0, MAX_MS)) malformedMessage(`${what} has no time of a release`);
  return { hasFormer: former, releasedMs: released };
}
