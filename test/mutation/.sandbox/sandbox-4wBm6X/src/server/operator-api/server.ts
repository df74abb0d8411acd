// @ts-nocheck
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";
import { type ErrorCode, NightlatchError } from "../../core/errors.ts";
import { readBody } from "../http/answers.ts";
import { json, type Reply } from "../http/reply.ts";
import { type Peer, peerOf } from "./peer.ts";
import { type Role, roleOf } from "./roles.ts";
import { type AdminContext, administer } from "./routes.ts";

const MAX_BODY_BYTES = 16_384;
const PREFIX = "/api/v1/";

/** Who may administer, beside root. */
interface AdminOwner {
  readonly uid: number;
  readonly operatorGroup: number | null;
}

/**
 * Makes the server that operators speak to: HTTP and JSON over a Unix socket, authorised by the
 * peer's user. docs/format/admin.md
 * @param report is told of every failure of the store, and of every defect
 * @param giveWay has strangers stand back until what it gives is disposed of
 */
export function createAdminServer(
  context: AdminContext,
  owner: AdminOwner,
  report: (error: unknown) => void,
  giveWay: () => Disposable,
): Server {
  // The kernel notes a peer when it connects: asked once, before anything is read.
  const peers = new WeakMap<Socket, Peer>();
  const server = createServer({ maxHeaderSize: 8192, requestTimeout: 15_000 }, (request, response) => {
    const peer = peers.get(request.socket) ?? null;
    if (request.method === "POST") {
      const way = giveWay(); // reading the log may take long, and is in no hurry
      response.once("close", () => way[Symbol.dispose]());
    }
    const answer = async () => {
      const { status, headers, body } = await handle(context, request, peer, roleOf(peer, owner), report);
      if (!request.complete) response.shouldKeepAlive = false;
      response.writeHead(status, [...headers]);
      response.end(body);
    };
    answer().catch((error: unknown) => {
      report(error);
      response.destroy();
    });
  });
  server.on("connection", (socket: Socket) => {
    const peer = peerOf(socket);
    if (peer !== null) peers.set(socket, peer);
  });
  return server;
}

async function handle(
  context: AdminContext,
  request: IncomingMessage,
  peer: Peer | null,
  role: Role | null,
  report: (error: unknown) => void,
): Promise<Reply> {
  try {
    if (peer === null || role === null) throw denied();
    const body = await readBody(request, MAX_BODY_BYTES);
    const segments = segmentsOf(request.url ?? "");
    if (body === null || segments === null) throw new NightlatchError("request/malformed", "the request is malformed");
    return await administer(context, { method: request.method ?? "", segments, body, role, uid: peer.uid });
  } catch (error) {
    if (error instanceof NightlatchError) {
      const { code, message, meaning, remedy } = error;
      if (code.startsWith("store/")) report(error);
      return json(statusOf(code), { error: code, message, meaning, remedy });
    }
    report(error);
    return json(500, { error: "internal", message: "the server met a defect; its log tells more" });
  }
}

function segmentsOf(url: string): string[] | null {
  if (!url.startsWith(PREFIX) || url.includes("?")) return null;
  try {
    return url.slice(PREFIX.length).split("/").map(decodeURIComponent);
  } catch {
    return null;
  }
}

const STATUS: Partial<Record<ErrorCode, number>> = {
  "admin/denied": 403,
  "admin/unknown-request": 404,
  "machine/unknown": 404,
  "latch/unknown": 404,
  "invite/unknown": 404,
  "invite/used": 409,
  "machine/exists": 409,
  "machine/revoked": 409,
  "machine/locked": 409,
  "lease/not-needed": 409,
  "lease/needs-approval": 409,
  "group/unknown": 404,
  "group/in-use": 409,
  "site/not-held": 409,
  "witness/unknown": 404,
  "witness/too-many": 409,
  "request/unknown": 404,
  "request/denied": 409,
};

function statusOf(code: ErrorCode): number {
  return STATUS[code] ?? (code.startsWith("store/") ? 503 : 400);
}

function denied(): NightlatchError {
  return new NightlatchError("admin/denied", "you may not administer this server", {
    meaning: "Nothing was changed.",
    remedy: "Run the command as root (sudo), or have yourself added to the group nightlatch.",
  });
}
