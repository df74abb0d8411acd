import { SUBMISSION_BYTES } from "../../formats/log/submission.ts";
import type { Http1RequestHead } from "../../formats/network/http1-request.ts";
import { ENROLMENT_BYTES } from "../../formats/own/enrolment.ts";
import { HEARTBEAT_BYTES } from "../../formats/own/heartbeat.ts";
import { RECOVERY_BYTES } from "../../formats/tang/tang.ts";
import { URL_BYTES } from "../http/head-reader.ts";
import { empty, json, type Plan, type Reply, refusal } from "../http/reply.ts";
import { isPassing } from "../service/queue.ts";
import type { Service } from "../service/service.ts";
import { acceptEnrolment, acceptLatch } from "./enrolment.ts";
import { acceptHeartbeat, acceptSession, giveSessionChallenge } from "./heartbeat.ts";
import { acceptLease, giveChallenge } from "./lease.ts";
import { answerReceipt } from "./receipt.ts";
import { acceptReport } from "./report.ts";
import { acceptRotation } from "./rotation.ts";
import { findRoute, type Route } from "./routes.ts";
import { advertise, recover } from "./tang.ts";
import { answerSubmission } from "./witness.ts";

/**
 * What the head of a request alone tells: the answer, or what its body is for.
 * @param report is told of every failure and defect, which is answered too
 */
export function planFor(
  service: Service,
  { method, target }: Http1RequestHead,
  report: (error: unknown) => void,
): Reply | Plan {
  if (target.length >= URL_BYTES) return empty(414);
  const route = findRoute(method, target);
  if (typeof route === "number") return empty(route, target === "/healthz" ? ALLOWED : []);
  if (route.kind === "health") return method === "OPTIONS" ? empty(204, ALLOWED) : health(service);
  const run: Plan["perform"] = (body, from) => perform(service, route, body, from, report);
  if (route.kind === "heartbeat") return { limitBytes: HEARTBEAT_BYTES + 1, tooLong: MESSAGE_TOO_LONG, perform: run };
  if (route.kind === "submission") return { limitBytes: SUBMISSION_BYTES + 1, tooLong: empty(413), perform: run };
  const isMessage = MESSAGES.has(route.kind);
  return {
    limitBytes: isMessage ? ENROLMENT_BYTES + 1 : RECOVERY_BYTES,
    tooLong: isMessage ? MESSAGE_TOO_LONG : empty(413),
    perform: run,
  };
}

const MESSAGE_TOO_LONG = refusal(413, "request/malformed");

/** What carries a message of docs/format/enrolment.md. */
const MESSAGES: ReadonlySet<Route["kind"]> = new Set([
  "enrolment",
  "latch",
  "lease",
  "receipt",
  "report",
  "rotation",
  "session",
]);

const ALLOWED = ["allow", "GET, HEAD, OPTIONS"];

function health(service: Service): Reply {
  const failure = service.queue.failure;
  return failure === null ? json(200, { ok: true }) : json(503, { ok: false, error: failure });
}

/** What takes more than the head to answer. */
type Performed = Exclude<Route, { kind: "health" }>;

/** Does what a complete request asks for. */
function perform(
  service: Service,
  route: Performed,
  body: Buffer,
  from: string,
  report: (error: unknown) => void,
): Promise<Reply> | Reply {
  const fail = (error: unknown) => {
    report(error);
    return isPassing(error) ? empty(503, ["retry-after", "5"]) : empty(500);
  };
  let reply: Promise<Reply> | Reply;
  try {
    reply = answer(service, route, body, from);
  } catch (error) {
    return fail(error);
  }
  return reply instanceof Promise ? reply.catch(fail) : reply;
}

function answer(service: Service, route: Performed, body: Buffer, from: string): Promise<Reply> | Reply {
  switch (route.kind) {
    case "recovery":
      return recover(service, route, body, from);
    case "advertisement":
      return advertise(service, route.latchId, route.kid);
    case "enrolment":
      return acceptEnrolment(service, body, from);
    case "latch":
      return acceptLatch(service, route.machineId, body, from);
    case "challenge":
      return giveChallenge(service, route.machineId);
    case "lease":
      return acceptLease(service, route.machineId, body, from);
    case "receipt":
      return answerReceipt(service, route.machineId, body);
    case "session-challenge":
      return giveSessionChallenge(service, route.machineId);
    case "session":
      return acceptSession(service, route.machineId, body, from);
    case "heartbeat":
      return acceptHeartbeat(service, body, from, route.asksLease);
    case "report":
      return acceptReport(service, route.machineId, body, from);
    case "submission":
      return answerSubmission(service, body, from);
    case "rotation":
      return acceptRotation(service, route.machineId, body, from);
  }
}
