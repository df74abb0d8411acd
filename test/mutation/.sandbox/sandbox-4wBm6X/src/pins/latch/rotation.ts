// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import type { AttemptLimits } from "../../core/limits.ts";
import { ENROLMENT_BYTES, ENROLMENT_TYPE, NONCE_BYTES } from "../../formats/own/enrolment.ts";
import { parseRefusal } from "../../formats/own/refusal.ts";
import { buildRotationRequest, parseRotationAnswer, type RotationAnswer } from "../../formats/own/rotation.ts";
import type { System } from "../../system/port.ts";
import { type EnrolledServer, readIdentity } from "./machine.ts";

/** What it takes to speak of a latch's keys. */
type RotationPower = Pick<System, "readFileIfPresent" | "request" | "random">;

/**
 * Asks a server about a key of one of this machine's latches, or tells it that the former keys of
 * that latch may be destroyed: docs/format/rotation.md. When it returns, the server has confirmed
 * it with its own signature.
 * @param of.kid S256 thumbprint of the exchange key that the new binding holds
 * @returns null where the server is of a version that has no rotations, and so no former keys
 * @throws NightlatchError net/*, machine/not-enrolled, machine/bad-state, machine/locked,
 *   machine/revoked, enrolment/refused, enrolment/malformed, enrolment/untrusted, file/*
 */
export async function askRotation(
  system: RotationPower,
  stateFolder: string,
  { url, thumbprint, machine, name }: EnrolledServer,
  of: { readonly latch: string; readonly kid: string; readonly ends: boolean },
  { timeoutMs, signal }: AttemptLimits,
): Promise<RotationAnswer | null> {
  const identity = await readIdentity(system, stateFolder);
  if (identity === null) throw new NightlatchError("machine/not-enrolled", "this machine has no identity");
  const request = buildRotationRequest(identity, system.random(NONCE_BYTES), { server: thumbprint, ...of });
  const { status, body } = await system.request({
    method: "POST",
    url: `${url}/machine/${machine}/rotation`,
    headers: { "content-type": ENROLMENT_TYPE },
    body: request,
    limitBytes: ENROLMENT_BYTES,
    timeoutMs,
    ...(signal === undefined ? {} : { signal }),
  });
  if (status === 200) return parseRotationAnswer(body, { request, serverThumbprint: thumbprint });
  const code = parseRefusal(body);
  if (status === 404 && code === null) return null;
  const { host } = new URL(url);
  if (code === "machine/locked" || code === "machine/revoked") {
    throw new NightlatchError(code, `${host} says nothing of the latches of ${name} (${code})`, {
      remedy: `See, at the server: nightlatch machine show ${name}`,
    });
  }
  throw new NightlatchError(
    "enrolment/refused",
    `${host} says nothing of this latch (status ${status}${code === null ? "" : `, ${code}`})`,
  );
}
