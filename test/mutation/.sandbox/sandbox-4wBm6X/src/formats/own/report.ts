// @ts-nocheck
import type { KeyObject } from "node:crypto";
import { toBase64url } from "../../core/bytes.ts";
import { NightlatchError } from "../../core/errors.ts";
import {
  base64urlOf,
  digestOf,
  isVolumeId,
  malformedMessage,
  NONCE_BYTES,
  openMessage,
  requireMembers,
  sealMessage,
} from "./enrolment.ts";

/** What a machine tells its servers of, and their answer: docs/format/bound.md, "The report". */
export interface Report {
  /** The reporter's id: its identity's thumbprint, by which the signature was verified. */
  readonly machine: string;
  /** UUID of the volume that was expected. */
  readonly volume: string;
  readonly reason: ReportReason;
}

/** Why a machine reports. */
export type ReportReason = "volume/other";

/** Writes `POST {url}/machine/{machine}/report`, signed by the machine's identity. */
export function buildReport(
  identity: KeyObject,
  report: { readonly nonce: Uint8Array; readonly volume: string; readonly reason: ReportReason },
): Buffer {
  const { nonce, volume, reason } = report;
  return sealMessage("nightlatch-report", identity, { nonce: toBase64url(nonce), volume, reason });
}

/**
 * Reads a report, and verifies its signature.
 * @throws NightlatchError enrolment/malformed (also where the signature is wrong)
 */
export function parseReport(body: Uint8Array): Report {
  const what = "the report";
  const { machine, payload } = openMessage("nightlatch-report", body, what);
  requireMembers(payload, ["nonce", "reason", "volume"], what);
  base64urlOf(payload, "nonce", NONCE_BYTES);
  const { volume, reason } = payload;
  if (typeof volume !== "string" || !isVolumeId(volume)) malformedMessage(`${what} names no usable volume`);
  if (reason !== "volume/other") malformedMessage(`${what} has no reason that is known`);
  return { machine, volume, reason };
}

/**
 * Writes the answer, signed by the server's identity.
 * @param report the body as it was received
 */
export function buildReportAnswer(identity: KeyObject, report: Uint8Array): Buffer {
  return sealMessage("nightlatch-reported", identity, { request: digestOf(report) });
}

/**
 * Verifies that this very server confirms this very report.
 * @throws NightlatchError enrolment/malformed, enrolment/untrusted
 */
export function requireReportAnswer(
  body: Uint8Array,
  expected: { readonly report: Uint8Array; readonly serverThumbprint: string },
): void {
  const what = "the server's answer";
  const { machine: server, payload } = openMessage("nightlatch-reported", body, what);
  requireMembers(payload, ["request"], what);
  if (server === expected.serverThumbprint && payload["request"] === digestOf(expected.report)) return;
  throw new NightlatchError("enrolment/untrusted", "somebody else answered in the server's place", {
    remedy: "Check the address in between.",
  });
}
