import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";
import { ENROLMENT_BYTES } from "../../formats/enrolment.ts";
import { RECOVERY_BYTES } from "../../formats/tang.ts";
import { isPassing } from "../service/queue.ts";
import type { Service } from "../service/service.ts";
import { type Answers, readBody } from "./answers.ts";
import { acceptEnrolment, acceptLatch } from "./enrolment.ts";
import { empty, json, type Reply, refusal } from "./reply.ts";
import { acceptReport } from "./report.ts";
import { findRoute, type Route } from "./routes.ts";
import { advertise, recover } from "./tang.ts";

/** What strangers may take of this process. */
export interface Limits {
  readonly connections: number;
  readonly connectionsOfOneAddress: number;
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly keepAliveMs: number;
  /** How often Node looks for late requests. */
  readonly checkMs: number;
}

/** tang's: 414 from here on. */
const URL_BYTES = 4096;
const HEADER_BYTES = 16_384;

const LIMITS: Limits = {
  connections: 4096,
  connectionsOfOneAddress: 1024,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 15_000,
  keepAliveMs: 10_000,
  checkMs: 1_000,
};

/** The server that machines speak to. */
export function createMachineServer(
  service: Service,
  answers: Answers,
  report: (error: unknown) => void,
  limits: Limits = LIMITS,
): Server {
  const server = createServer(
    {
      noDelay: true,
      keepAlive: true,
      maxHeaderSize: HEADER_BYTES,
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: limits.checkMs,
    },
    (request, response) => {
      response.sendDate = false;
      handle(service, request, report).then(
        ({ status, headers, body }) => {
          // What was not read of a body would be taken for the next request.
          if (!request.complete) response.shouldKeepAlive = false;
          answers.send(response, status, headers, body);
        },
        (error: unknown) => {
          report(error);
          response.destroy();
        },
      );
    },
  );
  server.maxConnections = limits.connections;
  server.on("drop", () => server.closeIdleConnections());
  server.on("connection", () => service.queue.expect());
  server.on("connection", countByAddress(limits.connectionsOfOneAddress));
  server.on("clientError", answerClientError);
  return server;
}

async function handle(service: Service, request: IncomingMessage, report: (error: unknown) => void): Promise<Reply> {
  const url = request.url ?? "";
  if (url.length >= URL_BYTES) return empty(414);
  const route = findRoute(request.method ?? "", url);
  const isMessage = typeof route === "object" && ["enrolment", "latch", "report"].includes(route.kind);
  const body = await readBody(request, isMessage ? ENROLMENT_BYTES + 1 : RECOVERY_BYTES);
  if (body === null) return isMessage ? refusal(413, "request/malformed") : empty(413);
  if (typeof route === "number") return empty(route);
  try {
    return await answer(service, route, body, request.socket.remoteAddress ?? "");
  } catch (error) {
    report(error);
    return isPassing(error) ? empty(503, ["retry-after", "5"]) : empty(500);
  }
}

function answer(service: Service, route: Route, body: Buffer, from: string): Promise<Reply> | Reply {
  switch (route.kind) {
    case "recovery":
      return recover(service, route, body, plainAddress(from));
    case "advertisement":
      return advertise(service, route.latchId, route.kid);
    case "enrolment":
      return acceptEnrolment(service, body, plainAddress(from));
    case "latch":
      return acceptLatch(service, route.machineId, body, plainAddress(from));
    case "report":
      return acceptReport(service, route.machineId, body, plainAddress(from));
    case "health":
      return health(service);
  }
}

function health(service: Service): Reply {
  const failure = service.queue.failure;
  return failure === null ? json(200, { ok: true }) : json(503, { ok: false, error: failure });
}

/** An IPv4 peer of a socket that serves both. */
function plainAddress(address: string): string {
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}

function countByAddress(most: number): (socket: Socket) => void {
  const counts = new Map<string, number>();
  return (socket) => {
    const address = socket.remoteAddress ?? "";
    const count = (counts.get(address) ?? 0) + 1;
    if (count > most) {
      socket.destroy();
      return;
    }
    counts.set(address, count);
    socket.once("close", () => {
      const left = (counts.get(address) ?? 1) - 1;
      if (left > 0) counts.set(address, left);
      else counts.delete(address);
    });
  };
}

/** What is no request: Node's parser refused it, or it came too slowly. */
function answerClientError(error: NodeJS.ErrnoException & { rawPacket?: Buffer }, socket: Socket): void {
  if (!socket.writable || socket.bytesWritten > 0) {
    socket.destroy();
    return;
  }
  const status =
    error.code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? "408 Request Timeout"
      : error.code !== "HPE_HEADER_OVERFLOW"
        ? "400 Bad Request"
        : isLongUrl(error.rawPacket)
          ? "414 URI Too Long"
          : "431 Request Header Fields Too Large";
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`, () => socket.destroy());
}

/** Whether it is the first line that filled the header. */
function isLongUrl(packet: Buffer | undefined): boolean {
  const end = packet?.indexOf("\n") ?? 0;
  return end < 0 || end >= URL_BYTES;
}
