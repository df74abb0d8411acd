// @ts-nocheck
import type { KeyObject } from "node:crypto";
import { isError, NightlatchError } from "../../core/errors.ts";
import type { AttemptLimits } from "../../core/limits.ts";
import {
  buildEnrolRequest,
  buildLatchRequest,
  ENROLMENT_BYTES,
  ENROLMENT_TYPE,
  identityThumbprint,
  parseEnrolAnswer,
} from "../../formats/own/enrolment.ts";
import type { Invite } from "../../formats/own/invite.ts";
import { parseRefusal } from "../../formats/own/refusal.ts";
import type { Advertisement } from "../../formats/tang/tang.ts";
import type { HttpResponse, System } from "../../system/port.ts";
import { redirectOf } from "../redirect.ts";
import {
  type EnrolledServer,
  forgetNonce,
  keepServer,
  listServers,
  readIdentity,
  readOrMakeIdentity,
  readOrMakeNonce,
  type StatePower,
} from "./machine.ts";

type EnrolPower = StatePower & Pick<System, "request">;

/**
 * A latch that was made for one volume. The advertisement is the server's own; its signatures were
 * verified.
 */
interface NewLatch {
  /** What goes into the binding: `{url}/latch/{id}`. */
  readonly latchUrl: string;
  readonly advertisement: Advertisement;
  readonly machine: string;
  readonly name: string;
}

/**
 * Enrols the machine with an invite, and gets a latch for the volume. The identity and the
 * request's nonce are kept before they are sent: if the run is cut short anywhere, the next one
 * with the same invite gets the same latch. Call `forgetNonce` once the latch is bound.
 * An invite that this machine has used already serves for its next volumes too, as `anotherLatch`
 * does without one. Where the latch that was made for the nonce has been revoked since, another is
 * asked for, once.
 * @param volume the volume's UUID
 * @throws NightlatchError net/*, file/*, machine/bad-state, enrolment/malformed,
 *   enrolment/untrusted, enrolment/refused, invite/unknown, invite/used, invite/expired,
 *   invite/other-machine, machine/locked, machine/revoked, machine/full, latch/revoked, pin/busy
 */
export async function enrolMachine(
  system: EnrolPower,
  stateFolder: string,
  invite: Invite,
  volume: string,
  limits: AttemptLimits,
): Promise<NewLatch> {
  const identity = await readOrMakeIdentity(system, stateFolder);
  const { url, thumbprint } = invite;
  const attempt = async () => {
    const nonce = await readOrMakeNonce(system, stateFolder, { volume, invite: invite.id });
    const request = buildEnrolRequest(identity, invite, { nonce, volume });
    return ask(system, stateFolder, { url, thumbprint, path: "/enroll", identity, request }, limits);
  };
  try {
    return await unlessRevoked(system, stateFolder, volume, attempt);
  } catch (error) {
    if (!isError(error, "invite/used") && !isError(error, "invite/other-machine")) throw error;
    const server = (await listServers(system, stateFolder)).find((known) => known.thumbprint === thumbprint);
    if (error.code === "invite/other-machine") throw otherMachine(error, stateFolder, server?.name ?? null);
    if (server === undefined) throw error;
    return anotherLatch(system, stateFolder, { volume, server: thumbprint }, limits);
  }
}

/**
 * Gets one more latch for a machine that is enrolled; it needs no invite. The nonce is kept as
 * `enrolMachine` keeps it.
 * @param choice.server thumbprint of the server, where the machine is enrolled at several
 * @throws NightlatchError machine/not-enrolled, machine/unknown, usage/wrong, and as enrolMachine
 */
export async function anotherLatch(
  system: EnrolPower,
  stateFolder: string,
  choice: { readonly volume: string; readonly server?: string },
  limits: AttemptLimits,
): Promise<NewLatch> {
  const { volume } = choice;
  const identity = await readIdentity(system, stateFolder);
  const server = chooseServer(await listServers(system, stateFolder), choice.server);
  if (identity === null || server === null) {
    throw new NightlatchError("machine/not-enrolled", "this machine is not enrolled at a server", {
      meaning: "Nothing was changed.",
      remedy: "Make an invite with nightlatch machine invite at the server, and pass it.",
    });
  }
  const { url, thumbprint } = server;
  const path = `/machine/${identityThumbprint(identity)}/latch`;
  return unlessRevoked(system, stateFolder, volume, async () => {
    const nonce = await readOrMakeNonce(system, stateFolder, { volume, invite: null });
    const request = buildLatchRequest(identity, { nonce, volume });
    return ask(system, stateFolder, { url, thumbprint, path, identity, request }, limits);
  });
}

/**
 * Makes the attempt again with a new nonce where the latch of the old one was revoked. No run would
 * ever get another latch otherwise; nothing is bound to that one, so its nonce may go.
 */
async function unlessRevoked(
  system: EnrolPower,
  stateFolder: string,
  volume: string,
  attempt: () => Promise<NewLatch>,
): Promise<NewLatch> {
  try {
    return await attempt();
  } catch (error) {
    if (!isError(error, "latch/revoked")) throw error;
    await forgetNonce(system, stateFolder, volume);
    return attempt();
  }
}

interface Question {
  readonly url: string;
  readonly thumbprint: string;
  readonly path: string;
  readonly identity: KeyObject;
  readonly request: Buffer;
}

async function ask(
  system: EnrolPower,
  stateFolder: string,
  { url, thumbprint, path, identity, request }: Question,
  limits: AttemptLimits,
): Promise<NewLatch> {
  const response = await system.request({
    method: "POST",
    url: url + path,
    headers: { "content-type": ENROLMENT_TYPE },
    body: request,
    limitBytes: ENROLMENT_BYTES,
    timeoutMs: limits.timeoutMs,
    ...(limits.signal === undefined ? {} : { signal: limits.signal }),
  });
  if (response.status !== 200) throw refusal(url, response);
  const { machine, name, latch, advertisement } = parseEnrolAnswer(response.body, {
    request,
    machine: identityThumbprint(identity),
    serverThumbprint: thumbprint,
  });
  await keepServer(system, stateFolder, { url, thumbprint, machine, name });
  return { latchUrl: `${url}/latch/${latch}`, advertisement, machine, name };
}

function chooseServer(servers: readonly EnrolledServer[], thumbprint: string | undefined): EnrolledServer | null {
  if (thumbprint !== undefined) return servers.find((server) => server.thumbprint === thumbprint) ?? null;
  const [only, ...others] = servers;
  if (others.length > 0) {
    throw new NightlatchError("usage/wrong", `this machine is enrolled at ${servers.length} servers`, {
      remedy: `Say which: ${servers.map((server) => `${server.url} (${server.thumbprint})`).join(", ")}.`,
    });
  }
  return only ?? null;
}

type RefusalCode =
  | "invite/unknown"
  | "invite/used"
  | "invite/expired"
  | "invite/other-machine"
  | "machine/locked"
  | "machine/revoked"
  | "machine/unknown"
  | "machine/full"
  | "latch/revoked";

const REFUSALS: Readonly<Record<RefusalCode, readonly [what: string, remedy: string]>> = {
  "invite/unknown": ["does not know the invite", "Check the line, or make a new invite at the server."],
  "invite/used": [
    "says that the invite was used already",
    "Make a new invite. If it was not this machine, nightlatch machine list at the server shows which has used it.",
  ],
  "invite/expired": ["says that the invite has expired", "Make a new invite at the server."],
  "invite/other-machine": ["says that the invite was made for another machine", "Pass the invite on that machine."],
  "machine/locked": ["has locked this machine", "Unlock it with nightlatch machine unlock at the server."],
  "machine/revoked": [
    "has revoked this machine for good",
    "Enrol it anew: move its state folder away and pass a new invite.",
  ],
  "machine/full": ["gives this machine no more latches", "Revoke those that no volume uses any more, at the server."],
  "latch/revoked": [
    "has revoked the latch that it made for this volume",
    "Bind the volume again: another is asked for.",
  ],
  "machine/unknown": ["does not know this machine", "Enrol it anew: pass a new invite."],
};

/**
 * Makes the error for an answer that gives no latch. A refusal is not signed: whoever sits in
 * between can refuse, and gains no more by it than by cutting the line.
 */
function refusal(url: string, response: HttpResponse): NightlatchError {
  const { host } = new URL(url);
  const meaning = "No latch was made for the volume, which is unchanged.";
  const redirect = redirectOf(url, response);
  if (redirect !== null) {
    const remedy = "Give the server the address that it leads to (nightlatch serve --url), and make a new invite.";
    return new NightlatchError("enrolment/refused", redirect.message, { meaning, remedy });
  }
  const code = parseRefusal(response.body);
  if (code !== null && Object.hasOwn(REFUSALS, code)) {
    const [what, remedy] = REFUSALS[code as RefusalCode];
    return new NightlatchError(code as RefusalCode, `${host} ${what}`, { meaning, remedy });
  }
  if (response.status === 429 || response.status >= 500) {
    return new NightlatchError("pin/busy", `${host} cannot make a latch at the moment (status ${response.status})`, {
      meaning,
      remedy: "Try again; the same request is sent.",
    });
  }
  return new NightlatchError(
    "enrolment/refused",
    `${host} refused (status ${response.status}${code === null ? "" : `, ${code}`})`,
    {
      meaning,
      remedy: "Check that the address in the invite is the server's own; its log says more.",
    },
  );
}

/**
 * Explains an invite that was refused because the server knows this machine's identity already.
 * @param name what the server called this machine when it enrolled; null where this state folder
 *   does not tell
 */
function otherMachine(error: NightlatchError, stateFolder: string, name: string | null): NightlatchError {
  const known = name ?? "another";
  const identity = `${stateFolder}/identity.key`;
  return new NightlatchError(
    "invite/other-machine",
    `${error.message}: the server knows this one's identity${name === null ? " by another name" : ` as ${name}`}`,
    {
      meaning: `${error.meaning} The invite is still good. Of two machines with one identity none can be locked or revoked alone.`,
      remedy:
        `If this machine is ${known === "another" ? "the one that the server knows" : known}, leave the invite off. If it is a copy of that machine, ` +
        `give it an identity of its own and pass the same invite again: mv ${identity} ${identity}.${name ?? "old"}\n` +
        `  With a volume that was copied too, add --replace.`,
    },
  );
}
