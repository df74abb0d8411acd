// @ts-nocheck
import { connect as connectPlain, isIP, type LookupFunction, type Socket } from "node:net";
import { NightlatchError } from "../core/errors.ts";
import { formatHttp1Request, type Http1Response, Http1ResponseReader } from "../formats/network/http1.ts";
import { requestName } from "./names.ts";
import type { HttpRequest, HttpResponse } from "./port.ts";

/** Of the status line and all header lines together. */
const HEAD_BYTES = 16 << 10;

/**
 * Makes one exchange. The time limit bounds all of it, from the look-up of the name to the last
 * byte, so an answer that drips in is cut off.
 * @see System.request
 */
export async function exchange(request: HttpRequest): Promise<HttpResponse> {
  const url = parseUrl(request.url);
  const connect = url.protocol === "https:" ? await secureConnector() : connectPlain;
  return new Promise((resolve, reject) => {
    let socket: Socket | undefined;
    const name = requestName();
    const settle = () => {
      clearTimeout(deadline);
      request.signal?.removeEventListener("abort", giveUp);
      name.drop();
      socket?.destroy();
    };
    const fail = (error: NightlatchError) => {
      settle();
      const { meaning, remedy } = error;
      const guidance = { ...(meaning === undefined ? {} : { meaning }), ...(remedy === undefined ? {} : { remedy }) };
      reject(new NightlatchError(error.code, `${url.host} ${error.message}`, guidance));
    };
    const giveUp = () => fail(new NightlatchError("net/timeout", "was given up"));
    const deadline = setTimeout(() => {
      const what = name.isPending() ? "has a name that nobody resolved" : "did not answer";
      fail(new NightlatchError("net/timeout", `${what} within ${request.timeoutMs} ms`));
    }, request.timeoutMs);
    if (request.signal?.aborted) return giveUp();
    request.signal?.addEventListener("abort", giveUp, { once: true });

    const reader = new Http1ResponseReader({ headBytes: HEAD_BYTES, bodyBytes: request.limitBytes });
    const attempt = (read: () => Http1Response | null) => {
      try {
        const response = read();
        if (response === null) return;
        settle();
        resolve(response);
      } catch (error) {
        fail(error instanceof NightlatchError ? error : judge(error as NodeJS.ErrnoException));
      }
    };
    socket = connect({ ...addressOf(url, request.socketPath), lookup: name.lookup });
    socket.on("data", (chunk: Buffer) => attempt(() => reader.push(chunk)));
    socket.on("end", () => attempt(() => reader.end()));
    socket.on("error", (error: NodeJS.ErrnoException) => fail(judge(error)));
    const send = (to: Socket) => {
      if (to.destroyed) return;
      try {
        const bytes = formatHttp1Request({ ...request, url, body: bodyOf(request) });
        to.write(bytes, (error) => {
          if (error == null) request.onSent?.();
        });
      } catch (error) {
        settle();
        reject(error);
      }
    };
    // Node itself connects, or looks the name up, in the ticks before.
    process.nextTick(send, socket);
  });
}

/**
 * Takes the body of a request, once. A test that answers requests itself takes it from here, too.
 */
export function bodyOf({ body }: Pick<HttpRequest, "body">): Uint8Array | undefined {
  return typeof body === "function" ? body() : body;
}

function judge(error: NodeJS.ErrnoException): NightlatchError {
  const code = error.code ?? error.name;
  if (/CERT|SIGNATURE|ISSUER|ALTNAME|^ERR_TLS|^ERR_SSL|^EPROTO$/.test(code)) return judgeTls(code);
  return new NightlatchError("net/unreachable", `cannot be reached (${code})`);
}

const NOT_TRUSTED = "shows a certificate that is not trusted";

/** What a certificate lacks, by the codes of OpenSSL and Node. */
function judgeTls(code: string): NightlatchError {
  const because = (what: string, remedy: string) =>
    new NightlatchError("net/unreachable", `${what} (${code})`, { remedy });
  switch (code) {
    case "CERT_HAS_EXPIRED":
      return because(
        NOT_TRUSTED,
        "It has expired: renew it on the server, or set this machine's clock, if that is wrong.",
      );
    case "CERT_NOT_YET_VALID":
      return because(NOT_TRUSTED, "It is not valid yet: set this machine's clock, if that is wrong.");
    case "CERT_REVOKED":
      return because(NOT_TRUSTED, "It was revoked: give the server another.");
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return because(
        NOT_TRUSTED,
        "It is for another name: use an address whose name is in it, or give the server one for this name.",
      );
    case "EPROTO":
      return because(
        "does not speak TLS as it should",
        "Check that the address is https:// where the server speaks TLS, and http:// where not.",
      );
    default:
      return because(
        NOT_TRUSTED,
        "If it is your own authority's, add that to the system: on Debian, put its certificate as NAME.crt into " +
          "/usr/local/share/ca-certificates and run update-ca-certificates.",
      );
  }
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw new NightlatchError("net/unreachable", "the address is not an http one");
  }
  return url;
}

interface Target extends Address {
  readonly lookup: LookupFunction;
}

interface Address {
  readonly host: string;
  readonly port: number;
  readonly path?: string;
}

function addressOf({ protocol, hostname, port }: URL, socketPath: string | undefined): Address {
  const host = hostname.replace(/^\[|\]$/g, "");
  const fallback = protocol === "https:" ? 443 : 80;
  return {
    host,
    port: port === "" ? fallback : Number(port),
    ...(socketPath === undefined ? {} : { path: socketPath }),
  };
}

/**
 * TLS costs milliseconds to load, which the key socket's cold start has to pay: only those who use
 * it do. Certificates are judged by the system's store, as curl and so clevis judges them, which
 * holds an administrator's own; by Node's where there is none.
 */
async function secureConnector(): Promise<(target: Target) => Socket> {
  const { connect, getCACertificates } = await import("node:tls");
  const own = getCACertificates("system");
  const ca = own.length > 0 ? own : getCACertificates("default");
  // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
  return (target) =>
    connect({
      ...target,
      ca,
      rejectUnauthorized: true,
      ...(isIP(target.host) === 0 ? { servername: target.host } : {}),
    });
}
