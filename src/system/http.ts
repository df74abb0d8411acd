import { request as requestHttp } from "node:http";
import { NightlatchError } from "../core/errors.ts";
import type { HttpRequest, HttpResponse } from "./port.ts";

/** @see System.request */
export async function exchange(request: HttpRequest): Promise<HttpResponse> {
  const secure = request.url.startsWith("https:");
  // TLS costs milliseconds to load, which the key socket's cold start has to pay: only those who use it do.
  const send = secure ? (await import("node:https")).request : requestHttp;
  return new Promise((resolve, reject) => {
    const fail = (code: "net/unreachable" | "net/timeout" | "net/too-large", what: string) => {
      clearTimeout(deadline);
      outgoing.destroy();
      reject(new NightlatchError(code, `${new URL(request.url).host} ${what}`));
    };
    const headers: Record<string, string> = { connection: "close", ...request.headers };
    if (request.body !== undefined) headers["content-length"] = String(request.body.byteLength);
    const outgoing = send(request.url, {
      method: request.method,
      headers,
      agent: false,
      ...(request.socketPath === undefined ? {} : { socketPath: request.socketPath }),
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    });
    const deadline = setTimeout(
      () => fail("net/timeout", `did not answer within ${request.deadlineMs} ms`),
      request.deadlineMs,
    );
    outgoing.on("error", (error: NodeJS.ErrnoException) => {
      fail("net/unreachable", `cannot be reached (${error.code ?? error.name})`);
    });
    outgoing.on("response", (incoming) => {
      const chunks: Buffer[] = [];
      let lengthBytes = 0;
      incoming.on("data", (chunk: Buffer) => {
        lengthBytes += chunk.length;
        if (lengthBytes > request.limitBytes) fail("net/too-large", `answered with over ${request.limitBytes} bytes`);
        else chunks.push(chunk);
      });
      incoming.on("error", (error: NodeJS.ErrnoException) => {
        fail("net/unreachable", `broke off its answer (${error.code ?? error.name})`);
      });
      incoming.on("end", () => {
        clearTimeout(deadline);
        resolve({
          status: incoming.statusCode ?? 0,
          contentType: incoming.headers["content-type"] ?? "",
          body: Buffer.concat(chunks),
        });
      });
    });
    outgoing.end(request.body);
  });
}
