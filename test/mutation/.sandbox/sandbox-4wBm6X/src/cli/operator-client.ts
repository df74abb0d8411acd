// @ts-nocheck
import { ERROR_CODES, type ErrorCode, isError, NightlatchError } from "../core/errors.ts";
import { OPERATOR_SOCKET } from "../core/places.ts";
import { type JsonObject, parseJson } from "../formats/json/json.ts";
import type { System } from "../system/port.ts";
import type { Option } from "./command.ts";

/** `--admin`, of every command that asks the server. */
export const ADMIN_OPTION = {
  value: "SOCKET",
  help: "Unix socket of the server",
  default: OPERATOR_SOCKET,
} as const satisfies Option;

const DEADLINE_MS = 30_000;
const MAX_ANSWER_BYTES = 64 << 20;

/**
 * One request to the server's administration, docs/format/admin.md.
 * @throws NightlatchError admin/unreachable, and what the server answered with
 */
export async function askServer(
  system: Pick<System, "request">,
  socketPath: string,
  method: "GET" | "POST",
  segments: readonly string[],
  body?: JsonObject,
): Promise<JsonObject> {
  const path = segments.map(encodeURIComponent).join("/");
  const answer = await request(system, socketPath, {
    method,
    url: `http://server/api/v1/${path}`,
    ...(body === undefined ? {} : { body: Buffer.from(JSON.stringify(body)) }),
  });
  const json = parseAnswer(answer.body);
  if (answer.status === 200) return json;
  throw refusalOf(json);
}

async function request(
  system: Pick<System, "request">,
  socketPath: string,
  what: { readonly method: "GET" | "POST"; readonly url: string; readonly body?: Buffer },
) {
  try {
    return await system.request({ ...what, socketPath, timeoutMs: DEADLINE_MS, limitBytes: MAX_ANSWER_BYTES });
  } catch (error) {
    if (!isError(error, "net/unreachable")) throw error;
    const denied = /\bEACCES\b/.test(error.message);
    throw new NightlatchError(
      denied ? "admin/denied" : "admin/unreachable",
      denied ? `you may not administer the server at ${socketPath}` : `no server answers at ${socketPath}`,
      {
        meaning: "Nothing was changed.",
        remedy: denied
          ? "Run the command as root (sudo), or have yourself added to the group nightlatch."
          : "Start it (systemctl start nightlatch-server), or name its socket with --admin.",
      },
    );
  }
}

function parseAnswer(body: Buffer): JsonObject {
  const json = parseJson(body, "the server's answer", { lengthBytes: MAX_ANSWER_BYTES });
  if (json !== null && typeof json === "object" && !Array.isArray(json)) return json as JsonObject;
  throw new NightlatchError("json/malformed", "the server's answer is not an object");
}

function refusalOf({ error, message, meaning, remedy }: JsonObject): NightlatchError {
  const code = ERROR_CODES.find((known) => known === error) ?? ("admin/unknown-request" satisfies ErrorCode);
  return new NightlatchError(code, textOf(message) ?? "the server refused", {
    ...(typeof meaning === "string" ? { meaning } : {}),
    ...(typeof remedy === "string" ? { remedy } : {}),
  });
}

function textOf(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}
