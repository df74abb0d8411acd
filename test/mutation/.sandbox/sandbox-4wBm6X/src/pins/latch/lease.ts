// @ts-nocheck
import type { KeyObject } from "node:crypto";
import { type ErrorCode, isError, NightlatchError } from "../../core/errors.ts";
import type { AttemptLimits } from "../../core/limits.ts";
import { ENROLMENT_BYTES, ENROLMENT_TYPE } from "../../formats/own/enrolment.ts";
import { buildLeaseRequest, type LeaseAnswer, parseChallenge, parseLeaseAnswer } from "../../formats/own/lease.ts";
import { parseRefusal } from "../../formats/own/refusal.ts";
import type { HttpResponse, System } from "../../system/port.ts";
import { type EnrolledServer, readIdentity } from "./machine.ts";

/** What it takes to announce a lease. */
type LeasePower = Pick<System, "readFileIfPresent" | "request">;

/** The window that a machine asks for. */
interface Window {
  /** How long it is to be open; 0 ends the one that is. */
  readonly seconds: number;
  /** How long a latch may be asked again after its first release. */
  readonly graceSeconds: number;
}

/** The server's own refusals that are told by their codes. */
const REFUSALS: ReadonlyMap<string, ErrorCode> = new Map(
  (["machine/locked", "machine/revoked", "machine/unknown", "lease/needs-approval"] as const).map((code) => [
    code,
    code,
  ]),
);

/**
 * Tells a server that this machine is about to reboot, or that it is not: docs/format/lease.md.
 * When it returns, the server has confirmed with its own signature what it will release.
 * @returns null where the server is of a version that knows no leases, and so needs none
 * @throws NightlatchError net/*, machine/not-enrolled, machine/bad-state, machine/locked,
 *   machine/revoked, machine/unknown, lease/needs-approval, enrolment/refused,
 *   enrolment/malformed, enrolment/untrusted,
 *   pin/busy, file/*
 */
export async function announceLease(
  system: LeasePower,
  stateFolder: string,
  server: EnrolledServer,
  window: Window,
  limits: AttemptLimits,
): Promise<LeaseAnswer | null> {
  const identity = await readIdentity(system, stateFolder);
  if (identity === null) throw new NightlatchError("machine/not-enrolled", "this machine has no identity");
  const { host } = new URL(server.url);
  try {
    return await ask(system, server, identity, window, limits);
  } catch (error) {
    if (!isError(error) || ["net", "machine", "lease"].includes(error.code.split("/")[0] ?? "")) throw error;
    throw new NightlatchError(error.code, `${host}: ${error.message}`);
  }
}

async function ask(
  system: LeasePower,
  server: EnrolledServer,
  identity: KeyObject,
  { seconds, graceSeconds }: Window,
  { timeoutMs, signal }: AttemptLimits,
): Promise<LeaseAnswer | null> {
  const url = `${server.url}/machine/${server.machine}/lease`;
  const common = { url, limitBytes: ENROLMENT_BYTES, timeoutMs, ...(signal === undefined ? {} : { signal }) };
  const asked = await system.request({ method: "GET", ...common });
  if (asked.status === 404) return null;
  if (asked.status !== 200) throw refusal(server, asked);
  const challenge = parseChallenge(asked.body);
  const request = buildLeaseRequest(identity, { challenge, server: server.thumbprint, seconds, graceSeconds });
  const headers = { "content-type": ENROLMENT_TYPE };
  const answer = await system.request({ method: "POST", headers, body: request, ...common });
  if (answer.status !== 200) throw refusal(server, answer);
  return parseLeaseAnswer(answer.body, { request, serverThumbprint: server.thumbprint });
}

/** A refusal is not signed: whoever sits in between can refuse, as he can cut the line. */
function refusal({ url, name }: EnrolledServer, { status, body }: HttpResponse): NightlatchError {
  const { host } = new URL(url);
  const code = parseRefusal(body);
  const known = REFUSALS.get(code ?? "");
  if (known !== undefined) {
    return new NightlatchError(known, `${host} gives ${name} no lease (${known})`, {
      remedy: `See, at the server: nightlatch machine show ${name}`,
    });
  }
  const told = `status ${status}${code === null ? "" : `, ${code}`}`;
  if (status === 429 || status >= 500) return new NightlatchError("pin/busy", `it gives no lease now (${told})`);
  return new NightlatchError("enrolment/refused", `it refused a lease (${told})`);
}
