import type { KeyObject } from "node:crypto";
import { NightlatchError } from "../../core/errors.ts";
import { parseJson } from "../json/json.ts";
import { isInteger } from "../json/narrow.ts";
import {
  base64urlOf,
  digestOf,
  ENROLMENT_BYTES,
  malformedMessage,
  openMessage,
  requireMembers,
  sealMessage,
} from "./enrolment.ts";

/** The length of a challenge: docs/format/lease.md. */
export const CHALLENGE_BYTES = 48;

/** No request asks for more, and no answer tells of more: a month, in seconds. */
const MAX_SECONDS = 31 * 86_400;

/** What a machine asks for: a window for its next boot; or, with no seconds, the end of one. */
interface WantedLease {
  /** What the server gave for this request, base64url. */
  readonly challenge: string;
  /** Thumbprint of the server that is asked: what is said to one is of no use at another. */
  readonly server: string;
  /** How long the window is to be open. 0 ends the one that is. */
  readonly seconds: number;
  /** How long after its first release a latch may be asked again. */
  readonly graceSeconds: number;
}

/** A request whose signature was verified. */
export interface LeaseRequest extends WantedLease {
  /** The id of the machine whose identity signed it. */
  readonly machine: string;
}

/** What a server says of a machine's window. */
export interface LeaseAnswer {
  /** Whether the server releases to this machine within a lease alone. */
  readonly isNeeded: boolean;
  /** How long the window is open from now on, in seconds; 0 where none is. */
  readonly seconds: number;
}

/** Writes `GET {url}/machine/{machine}/lease`'s answer. */
export function buildChallenge(challenge: string): string {
  return JSON.stringify({ challenge });
}

/**
 * Reads it, and gives the challenge.
 * @throws NightlatchError enrolment/malformed, json/*
 */
export function parseChallenge(body: Uint8Array): string {
  const what = "the server's challenge";
  const json = parseJson(body, what, { lengthBytes: ENROLMENT_BYTES, depth: 1 });
  requireMembers(json, ["challenge"], what);
  return base64urlOf(json, "challenge", CHALLENGE_BYTES);
}

/** Writes `POST {url}/machine/{machine}/lease`, signed by the machine's identity. */
export function buildLeaseRequest(identity: KeyObject, wanted: WantedLease): Buffer {
  const { challenge, server, seconds, graceSeconds } = wanted;
  return sealMessage("nightlatch-lease", identity, { challenge, server, seconds, grace: graceSeconds });
}

/**
 * Reads a request, and verifies its signature.
 * @throws NightlatchError enrolment/malformed (also where the signature is wrong)
 */
export function parseLeaseRequest(body: Uint8Array): LeaseRequest {
  const what = "the lease request";
  const { machine, payload } = openMessage("nightlatch-lease", body, what);
  requireMembers(payload, ["challenge", "grace", "seconds", "server"], what);
  const { seconds, grace } = payload;
  if (!isInteger(seconds, 0, MAX_SECONDS)) malformedMessage(`${what} does not say for how long`);
  if (!isInteger(grace, 0, MAX_SECONDS)) malformedMessage(`${what} does not say what its grace is`);
  return {
    machine,
    challenge: base64urlOf(payload, "challenge", CHALLENGE_BYTES),
    server: base64urlOf(payload, "server", 32),
    seconds,
    graceSeconds: grace,
  };
}

/**
 * Writes the answer, signed by the server's identity.
 * @param request the body as it was received
 */
export function buildLeaseAnswer(identity: KeyObject, request: Uint8Array, answer: LeaseAnswer): Buffer {
  const { isNeeded, seconds } = answer;
  return sealMessage("nightlatch-leased", identity, {
    request: digestOf(request),
    policy: isNeeded ? "lease" : "always",
    seconds,
  });
}

/**
 * Reads the answer, and verifies that this very server gives it to this very request.
 * @throws NightlatchError enrolment/malformed, enrolment/untrusted
 */
export function parseLeaseAnswer(
  body: Uint8Array,
  expected: { readonly request: Uint8Array; readonly serverThumbprint: string },
): LeaseAnswer {
  const what = "the server's answer";
  const { machine: server, payload } = openMessage("nightlatch-leased", body, what);
  requireMembers(payload, ["policy", "request", "seconds"], what);
  const { policy, request, seconds } = payload;
  if (server !== expected.serverThumbprint || request !== digestOf(expected.request)) {
    throw new NightlatchError("enrolment/untrusted", "somebody else answered in the server's place", {
      remedy: "Check the address in between.",
    });
  }
  if (policy !== "always" && policy !== "lease") malformedMessage(`${what} names no policy that is known`);
  if (!isInteger(seconds, 0, MAX_SECONDS)) malformedMessage(`${what} does not say for how long`);
  return { isNeeded: policy === "lease", seconds };
}
