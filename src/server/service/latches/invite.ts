import { toBase64url } from "../../../core/bytes.ts";
import { NightlatchError } from "../../../core/errors.ts";
import { Secret } from "../../../core/secret.ts";
import { isBase64urlOf } from "../../../formats/json/narrow.ts";
import { identityThumbprint, isMachineName } from "../../../formats/own/enrolment.ts";
import { formatInvite, INVITE_ID_BYTES, INVITE_KEY_BYTES } from "../../../formats/own/invite.ts";
import type { Entry } from "../../audit/entry.ts";
import { latestSince } from "../../audit/times.ts";
import { DEFAULT_GROUP } from "../../policy/terms.ts";
import type { Reads } from "../../store/port.ts";
import type { InviteRow } from "../../store/rows.ts";
import { findGroup, nobodyIn } from "../policies/groups.ts";
import { type Operator, saidOf } from "../policies/policies.ts";
import { requireTighter } from "../policies/terms.ts";
import type { Service } from "../service.ts";

/** What an operator asks for. */
interface InviteRequest extends Operator {
  readonly name: string;
  /** From now. */
  readonly lifetimeMs: number;
  /** The address that machines reach the server under. */
  readonly url: string;
  /** The group that the machine is to be in; absent: in none. */
  readonly group?: string;
}

/** An invite, once it is durable. */
interface MadeInvite {
  readonly id: string;
  readonly name: string;
  /** The line to paste. It holds a secret. */
  readonly line: string;
  readonly expiresMs: number;
  /** True where an earlier one for the same name, which was not used, is void from now on. */
  readonly replaced: boolean;
}

const MIN_LIFETIME_MS = 60_000;
const MAX_LIFETIME_MS = 30 * 86_400_000;

/**
 * Makes an invite for a machine. One for a group puts it there as it enrols, so that nothing is
 * released in between by what holds for others.
 * @throws NightlatchError machine/bad-name, machine/exists, invite/bad-lifetime, group/unknown,
 *   group/in-use, admin/denied, store/*
 */
export async function invite(service: Service, request: InviteRequest): Promise<MadeInvite> {
  requireName(request.name);
  requireLifetime(request.lifetimeMs);
  const id = toBase64url(service.system.random(INVITE_ID_BYTES));
  using key = Secret.take(service.system.random(INVITE_KEY_BYTES));
  const cell = service.cells.take();
  const wrappedKey = service.cells.wrap(cell, key.reveal(), { purpose: "invite", id, epoch: 1 });
  const createdMs = service.system.nowMs();
  const expiresMs = createdMs + request.lifetimeMs;
  const { name, by, group = null } = request;
  const replaced = await service.queue.submit(async (transaction) => {
    const machine = await transaction.machineByName(name);
    if (machine !== null && machine.state !== "revoked") throw nameTaken(name);
    if (group !== null) await requireGroup(transaction, group, request);
    const earlier = (await transaction.openInvites()).filter((open) => open.name === name);
    for (const open of earlier) await transaction.setInvite(open.id, "void", null);
    await transaction.insertInvite({
      id,
      name,
      state: "open",
      wrappedKey,
      cell,
      createdMs,
      expiresMs,
      madeAt: (await transaction.tree()).size,
      machineId: null,
      group,
    });
    return {
      outcome: earlier.length > 0,
      entries: [
        {
          kind: "invite",
          at: createdMs,
          invite: id,
          name,
          expires: expiresMs,
          ...(group === null ? {} : { group }),
          by,
        },
      ],
    };
  });
  const line = formatInvite({ url: request.url, id, key, thumbprint: identityThumbprint(service.identity) });
  return { id, name, line, expiresMs, replaced };
}

/**
 * Makes the open invite for a name void, and gives it.
 * @throws NightlatchError invite/unknown, invite/used, store/*
 */
export async function uninvite(
  service: Service,
  { name, by }: { readonly name: string /** The operator's user id. */; readonly by: number },
): Promise<InviteRow> {
  return service.queue.submit(async (transaction) => {
    const open = (await transaction.openInvites()).find((invite) => invite.name === name);
    if (open === undefined) throw await noInvite(transaction, name);
    await transaction.setInvite(open.id, "void", null);
    const entry: Entry = { kind: "invite-void", at: service.system.nowMs(), invite: open.id, name, by };
    return { outcome: open, entries: [entry] };
  });
}

/**
 * Makes invites void that nobody used in time; they stay so, whatever the clock says later.
 * @throws NightlatchError store/*
 */
export async function expireInvites(service: Service): Promise<void> {
  await service.queue.submit(async (transaction) => {
    const nowMs = service.system.nowMs();
    const { times } = await transaction.tree();
    const entries: Entry[] = [];
    for (const { id, name, expiresMs, madeAt } of await transaction.openInvites()) {
      if (Math.max(nowMs, latestSince(times, madeAt)) < expiresMs) continue;
      await transaction.setInvite(id, "void", null);
      entries.push({ kind: "invite-expired", at: nowMs, invite: id, name });
    }
    return { outcome: null, entries };
  });
}

/** Finds a group for a machine that is to come, as for one that joins it. */
async function requireGroup(transaction: Reads, name: string, { mayLoosen }: Operator): Promise<void> {
  const group = await findGroup(transaction, name);
  if (name === DEFAULT_GROUP) throw nobodyIn();
  const [elsewhere, there] = [await saidOf(transaction, null, null), await saidOf(transaction, null, group)];
  if (mayLoosen === false) requireTighter(name, elsewhere.terms, there.terms);
}

async function noInvite(transaction: Reads, name: string): Promise<NightlatchError> {
  const machine = await transaction.machineByName(name);
  if (machine === null || machine.state === "revoked") {
    return new NightlatchError("invite/unknown", `there is no open invite for ${JSON.stringify(name.slice(0, 80))}`, {
      meaning: "Nothing was changed.",
      remedy: "See which there are: nightlatch machine list",
    });
  }
  return new NightlatchError("invite/used", `the invite for ${name} was used: there is a machine ${name}`, {
    meaning: "Nothing was changed. The invite itself is worth nothing any more, but that machine is released.",
    remedy: `Should it be a stranger's: nightlatch machine revoke ${name}`,
  });
}

function requireName(name: string): void {
  if (isMachineName(name) && !isBase64urlOf(name, 32)) return;
  throw new NightlatchError("machine/bad-name", `${JSON.stringify(name.slice(0, 80))} is not a name for a machine`, {
    meaning: "No invite was made.",
    remedy: "Use up to 64 letters, digits, dots, dashes and underscores, a letter or digit first.",
  });
}

function requireLifetime(lifetimeMs: number): void {
  if (Number.isSafeInteger(lifetimeMs) && lifetimeMs >= MIN_LIFETIME_MS && lifetimeMs <= MAX_LIFETIME_MS) return;
  throw new NightlatchError("invite/bad-lifetime", "an invite lasts for at least a minute and at most 30 days", {
    meaning: "No invite was made.",
    remedy: "Give a time in between with --expires, such as 15m, 1h or 2d.",
  });
}

function nameTaken(name: string): NightlatchError {
  return new NightlatchError("machine/exists", `there is a machine ${name} already`, {
    meaning: "No invite was made. A machine that is known binds further volumes without one.",
    remedy: `Choose another name, or revoke the old machine first: nightlatch machine revoke ${name}`,
  });
}
