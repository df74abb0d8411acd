import type { Http1RequestHead } from "../../formats/network/http1-request.ts";
import { ENROLMENT_BYTES } from "../../formats/own/enrolment.ts";
import { RECOVERY_BYTES } from "../../formats/tang/tang.ts";
import { empty, json, type Reply, refusal } from "../http/reply.ts";
import { isPassing } from "../service/queue.ts";
import type { Service } from "../service/service.ts";
import { acceptEnrolment, acceptLatch } from "./enrolment.ts";
import { acceptReport } from "./report.ts";
import { findRoute, type Route } from "./routes.ts";
import { advertise, recover } from "./tang.ts";

/** tang's: 414 from here on. */
export const URL_BYTES = 4096;

/** What a request is about, and what it may bring along. */
export interface Plan {
  readonly route: Route;
  /** A body of as many bytes is too long. */
  readonly limitBytes: number;
  readonly tooLong: Reply;
}

/** What the head alone tells: the answer, or what the body is for. */
export function planFor(service: Service, { method, target }: Http1RequestHead): Reply | Plan {
  if (target.length >= URL_BYTES) return empty(414);
  const route = findRoute(method, target);
  if (typeof route === "number") return empty(route, target === "/healthz" ? ALLOWED : []);
  if (route.kind === "health") return method === "OPTIONS" ? empty(204, ALLOWED) : health(service);
  const isMessage = route.kind === "enrolment" || route.kind === "latch" || route.kind === "report";
  return isMessage
    ? { route, limitBytes: ENROLMENT_BYTES + 1, tooLong: refusal(413, "request/malformed") }
    : { route, limitBytes: RECOVERY_BYTES, tooLong: empty(413) };
}

const ALLOWED = ["allow", "GET, HEAD, OPTIONS"];

function health(service: Service): Reply {
  const failure = service.queue.failure;
  return failure === null ? json(200, { ok: true }) : json(503, { ok: false, error: failure });
}

/** Does what a complete request asks for. A defect is reported, and answered too. */
export async function perform(
  service: Service,
  { route }: Plan,
  body: Buffer,
  from: string,
  report: (error: unknown) => void,
): Promise<Reply> {
  try {
    return await answer(service, route, body, from);
  } catch (error) {
    report(error);
    return isPassing(error) ? empty(503, ["retry-after", "5"]) : empty(500);
  }
}

function answer(service: Service, route: Route, body: Buffer, from: string): Promise<Reply> | Reply {
  switch (route.kind) {
    case "recovery":
      return recover(service, route, body, from);
    case "advertisement":
      return advertise(service, route.latchId, route.kid);
    case "enrolment":
      return acceptEnrolment(service, body, from);
    case "latch":
      return acceptLatch(service, route.machineId, body, from);
    case "report":
      return acceptReport(service, route.machineId, body, from);
    case "health":
      return health(service);
  }
}
