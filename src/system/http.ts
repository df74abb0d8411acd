import { type ClientRequest, type IncomingMessage, request as requestHttp } from "node:http";
import { NightlatchError } from "../core/errors.ts";
import type { HttpRequest, HttpResponse } from "./port.ts";

/** Of the status line and all header lines together. */
const HEAD_BYTES = 16 << 10;

/**
 * The deadline bounds the whole exchange, from the look-up of the name to the last byte: an answer that drips in is cut off.
 * @see System.request
 */
export async function exchange(request: HttpRequest): Promise<HttpResponse> {
  const url = parseUrl(request.url);
  const send = url.protocol === "https:" ? await secureSender() : requestHttp;
  return new Promise((resolve, reject) => {
    let outgoing: ClientRequest | undefined;
    const settle = () => {
      clearTimeout(deadline);
      request.signal?.removeEventListener("abort", giveUp);
    };
    const fail = (code: NetCode, what: string) => {
      settle();
      outgoing?.destroy();
      reject(new NightlatchError(code, `${url.host} ${what}`));
    };
    const giveUp = () => fail("net/timeout", "was given up");
    const deadline = setTimeout(
      () => fail("net/timeout", `did not answer within ${request.deadlineMs} ms`),
      request.deadlineMs,
    );
    if (request.signal?.aborted) return giveUp();
    request.signal?.addEventListener("abort", giveUp, { once: true });

    outgoing = send(url, {
      method: request.method,
      headers: headersOf(request),
      agent: false,
      maxHeaderSize: HEAD_BYTES,
      ...(request.socketPath === undefined ? {} : { socketPath: request.socketPath }),
    });
    outgoing.on("error", (error: NodeJS.ErrnoException) => fail(...judge(error)));
    outgoing.on("upgrade", () => fail("net/unreachable", "did not answer in HTTP (upgrade)"));
    outgoing.on("response", (incoming) => {
      collect(incoming, request.limitBytes, fail, (body) => {
        settle();
        resolve({ status: incoming.statusCode ?? 0, contentType: incoming.headers["content-type"] ?? "", body });
      });
    });
    outgoing.end(request.body);
  });
}

type NetCode = "net/unreachable" | "net/timeout" | "net/too-large";

function collect(
  incoming: IncomingMessage,
  limitBytes: number,
  fail: (code: NetCode, what: string) => void,
  done: (body: Buffer) => void,
): void {
  const chunks: Buffer[] = [];
  let lengthBytes = 0;
  const tooLarge = () => fail("net/too-large", `answered with over ${limitBytes} bytes`);
  if (Number(incoming.headers["content-length"]) > limitBytes) tooLarge();
  incoming.on("data", (chunk: Buffer) => {
    lengthBytes += chunk.length;
    if (lengthBytes > limitBytes) tooLarge();
    else chunks.push(chunk);
  });
  incoming.on("error", (error: NodeJS.ErrnoException) => {
    fail("net/unreachable", `broke off its answer (${error.code ?? error.name})`);
  });
  incoming.on("end", () => done(Buffer.concat(chunks)));
}

function judge(error: NodeJS.ErrnoException): [code: NetCode, what: string] {
  const code = error.code ?? error.name;
  if (code === "HPE_HEADER_OVERFLOW") return ["net/too-large", `answered with over ${HEAD_BYTES} bytes of headers`];
  if (code.startsWith("HPE_")) return ["net/unreachable", `did not answer in HTTP (${code})`];
  if (/CERT|SIGNATURE|ISSUER|ALTNAME/.test(code))
    return ["net/unreachable", `shows a certificate that is not trusted (${code})`];
  return ["net/unreachable", `cannot be reached (${code})`];
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw new NightlatchError("net/unreachable", "the address is not an http one");
  }
  return url;
}

function headersOf({ headers, body }: HttpRequest): Record<string, string> {
  const lengthOf = body === undefined ? {} : { "content-length": String(body.byteLength) };
  return { connection: "close", ...headers, ...lengthOf };
}

/**
 * TLS costs milliseconds to load, which the key socket's cold start has to pay: only those who use it do. Certificates are judged by
 * the system's store, as curl and so clevis judges them, which holds an administrator's own; by Node's where there is none.
 */
async function secureSender(): Promise<typeof requestHttp> {
  const [{ request: requestHttps }, { getCACertificates }] = await Promise.all([
    import("node:https"),
    import("node:tls"),
  ]);
  const own = getCACertificates("system");
  const ca = own.length > 0 ? own : getCACertificates("default");
  return ((url: URL, options: object) => requestHttps(url, { ...options, ca })) as typeof requestHttp;
}
