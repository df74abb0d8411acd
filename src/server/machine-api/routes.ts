/**
 * What a request is about. Paths are tang's, under a latch's base address: docs/format/latch.md,
 * enrolment.md, lease.md, receipt.md, bound.md, rotation.md, heartbeat.md and witness.md.
 */
export type Route =
  | { readonly kind: "advertisement"; readonly latchId: string; readonly kid: string | null }
  | { readonly kind: "recovery"; readonly latchId: string; readonly kid: string }
  | { readonly kind: "enrolment" }
  | { readonly kind: "latch"; readonly machineId: string }
  | { readonly kind: "receipt"; readonly machineId: string }
  | { readonly kind: "report"; readonly machineId: string }
  | { readonly kind: "challenge"; readonly machineId: string }
  | { readonly kind: "lease"; readonly machineId: string }
  | { readonly kind: "rotation"; readonly machineId: string }
  | { readonly kind: "session-challenge"; readonly machineId: string }
  | { readonly kind: "session"; readonly machineId: string }
  | { readonly kind: "heartbeat"; readonly asksLease: boolean }
  | { readonly kind: "submission" }
  | { readonly kind: "health" };

const LATCH = /^\/+latch\/+([A-Za-z0-9_-]{22})(\/.*)$/;
// tangd's own patterns (tangd.c), its repeated slashes included.
const ADVERTISEMENT = /^\/+adv\/*$/;
const ADVERTISEMENT_BY_KEY = /^\/+adv\/+([0-9A-Za-z_-]+)$/;
const RECOVERY = /^\/+rec\/+([0-9A-Za-z_-]+)$/;
const MACHINE = /^\/machine\/([A-Za-z0-9_-]{43})\/(latch|lease|receipt|report|rotation|session)$/;

/** What watches a server may ask in ways that tang does not know. */
const HEALTH_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

/**
 * Finds what a request is about, and answers the rest as tangd does. A path that is known asks for
 * the right method (405); one that is not is 404, whatever the method.
 */
export function findRoute(method: string, path: string): Route | 404 | 405 {
  const route = match(path);
  if (route === null) return 404;
  if (route.kind === "health") return HEALTH_METHODS.has(method) ? route : 405;
  if (route.kind === "lease" && method === "GET") return { kind: "challenge", machineId: route.machineId };
  if (route.kind === "session" && method === "GET") return { kind: "session-challenge", machineId: route.machineId };
  return method === (route.kind === "advertisement" ? "GET" : "POST") ? route : 405;
}

function match(path: string): Route | null {
  if (path === "/alive" || path === "/alive/lease") return { kind: "heartbeat", asksLease: path !== "/alive" };
  const [, latchId, rest] = LATCH.exec(path) ?? [];
  if (latchId !== undefined && rest !== undefined) return matchTang(latchId, rest);
  if (path === "/enroll") return { kind: "enrolment" };
  if (path === "/witness/add-checkpoint") return { kind: "submission" };
  if (path === "/healthz") return { kind: "health" };
  const [, machineId, kind] = MACHINE.exec(path) ?? [];
  if (machineId === undefined) return null;
  return { kind: kind as "latch" | "lease" | "receipt" | "report" | "rotation" | "session", machineId };
}

function matchTang(latchId: string, path: string): Route | null {
  const recovered = RECOVERY.exec(path)?.[1];
  if (recovered !== undefined) return { kind: "recovery", latchId, kid: recovered };
  if (ADVERTISEMENT.test(path)) return { kind: "advertisement", latchId, kid: null };
  const kid = ADVERTISEMENT_BY_KEY.exec(path)?.[1];
  return kid === undefined ? null : { kind: "advertisement", latchId, kid };
}
