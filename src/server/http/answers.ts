import type { IncomingMessage, ServerResponse } from "node:http";

/**
 * Answers on their way out. Once written they belong to the kernel; one that a client does not read may wait in this process, and
 * must not leave after a later revocation was acknowledged.
 */
export class Answers {
  readonly #leaving = new Set<ServerResponse>();
  readonly #patienceMs: number;

  /** @param patienceMs how long an answer may stay unread by its client before its connection is cut */
  constructor(patienceMs = 250) {
    this.#patienceMs = patienceMs;
  }

  /** Ends the response with the body; the headers are `name, value` pairs. */
  send(response: ServerResponse, status: number, headers: readonly string[], body: string | Buffer): void {
    const lengthBytes = Buffer.byteLength(body);
    response.writeHead(status, [...headers, "content-length", String(lengthBytes)]);
    response.end(body);
    // A response that has no socket yet waits behind an earlier one of the same connection (pipelining).
    if (response.req.socket.destroyed || response.socket?.writableLength === 0) return;
    this.#leaving.add(response);
    response.once("close", () => this.#leaving.delete(response)); // also comes after `finish`
  }

  /** Resolves when every answer to what was committed so far has left, or its connection was cut. */
  async settle(): Promise<void> {
    // What was committed earlier is answered without waiting for anything: all of it before the event loop turns.
    await new Promise((resolve) => setImmediate(resolve));
    const waiting = [...this.#leaving];
    if (waiting.length === 0) return;
    const left = Promise.all(waiting.map((response) => new Promise((resolve) => response.once("close", resolve))));
    const deadline = setTimeout(() => {
      for (const response of waiting) if (this.#leaving.has(response)) response.req.socket.destroy();
    }, this.#patienceMs);
    await left;
    clearTimeout(deadline);
  }
}

/** Collects a body of less than `limitBytes`. Null where it is longer, or says that it is; what comes of it is read and dropped. */
export function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer | null> {
  return new Promise((resolve) => {
    if (Number(request.headers["content-length"]) >= limitBytes) {
      request.resume(); // a client that is still sending would lose the answer to a reset
      resolve(null);
      return;
    }
    const chunks: Buffer[] = [];
    let lengthBytes = 0;
    request.on("data", (chunk: Buffer) => {
      lengthBytes += chunk.length;
      if (lengthBytes >= limitBytes) resolve(null);
      else chunks.push(chunk);
    });
    request.on("end", () => {
      const [first, second] = chunks;
      resolve(first !== undefined && second === undefined ? first : Buffer.concat(chunks));
    });
  });
}
