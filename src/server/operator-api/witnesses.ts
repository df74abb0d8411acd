import { NightlatchError } from "../../core/errors.ts";
import { json, type Reply } from "../http/reply.ts";
import { askWitness, cosignLog, keyText, listWitnesses, removeWitness } from "../service/log/witnesses.ts";
import type { Service } from "../service/service.ts";
import { malformedRequest, parseBody } from "./policies.ts";
import type { Role } from "./roles.ts";
import { isoTime } from "./views.ts";

/** What an operator asks of witnesses. */
interface WitnessesRequest {
  readonly method: string;
  readonly segments: readonly string[];
  readonly body: Buffer;
  readonly role: Role;
  readonly uid: number;
}

/**
 * Answers what is under `witnesses` of docs/format/admin.md; null where it is none of that.
 * @throws NightlatchError request/malformed, admin/denied, witness/*, store/*
 */
export async function administerWitnesses(service: Service, request: WitnessesRequest): Promise<Reply | null> {
  const { method, segments, body, role, uid: by } = request;
  const [, name, verb] = segments;
  if (method === "GET" && name === undefined) return showWitnesses(service);
  if (method !== "POST") return null;
  if (name !== undefined && verb === "remove" && segments.length === 3) {
    requireAdmin(role);
    return json(200, { removed: await removeWitness(service, name, { by }) });
  }
  if (name !== undefined) return null;
  requireAdmin(role);
  const { verifier, url } = parseBody(body, ["verifier"], ["url"]);
  if (typeof verifier !== "string" || (url !== undefined && typeof url !== "string")) throw malformedRequest();
  const changed =
    url === undefined ? await cosignLog(service, { verifier, by }) : await askWitness(service, { url, verifier, by });
  return json(200, { changed });
}

async function showWitnesses(service: Service): Promise<Reply> {
  const { log, witness, witnesses, logs } = await listWitnesses(service);
  return json(200, {
    log: keyText(log, "log"),
    witness: keyText(witness, "witness"),
    witnesses: witnesses.map(({ name, publicKey, url, seen, last }) => {
      const failure = service.witnessFailures.get(name);
      return {
        name,
        url,
        verifier: keyText({ origin: name, publicKey }, "witness"),
        seen,
        size: last?.size ?? 0,
        at: last === null ? null : isoTime(last.seconds * 1000),
        failure: failure === undefined ? null : { error: failure.code, message: failure.message },
      };
    }),
    logs: logs.map(({ origin, publicKey, size, note, cosignedMs }) => ({
      origin,
      verifier: keyText({ origin, publicKey }, "log"),
      size,
      at: cosignedMs === null ? null : isoTime(cosignedMs),
      note,
    })),
  });
}

/** Who witnesses a log decides what machines believe of it. */
function requireAdmin(role: Role): void {
  if (role === "admin") return;
  throw new NightlatchError("admin/denied", "who witnesses a log is root's to say", {
    meaning: "Nothing was changed.",
    remedy: "Run the command as root (sudo).",
  });
}
