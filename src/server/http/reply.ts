/** An answer before it is written. */
export interface Reply {
  readonly status: number;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: string | Buffer;
}

/** What the body of a request is for, as its head tells. */
export interface Plan {
  /** A body of as many bytes is too long. */
  readonly limitBytes: number;
  readonly tooLong: Reply;
  /**
   * Does what the request asks for, once its body is there; at once, where nothing has to be waited
   * for.
   * @param from the peer's address
   */
  perform(body: Buffer, from: string): Reply | Promise<Reply>;
}

/** An answer without a body, as tang gives to what it does not like. */
export function empty(status: number, headers: readonly string[] = []): Reply {
  return { status, headers, body: "" };
}

/** A refusal by its code: `{"error":CODE}`. */
export function refusal(status: number, code: string, headers: readonly string[] = []): Reply {
  return json(status, { error: code }, headers);
}

/** An answer in JSON. */
export function json(status: number, value: unknown, headers: readonly string[] = []): Reply {
  return {
    status,
    headers: ["content-type", "application/json", ...headers],
    body: Buffer.from(JSON.stringify(value)),
  };
}

/**
 * Writes a reply as HTTP/1.1 has it, in one piece: a byte for each character, which is what Latin-1
 * makes of it. Node writes such a string without a buffer for it.
 * @param of.isHead the request was HEAD: the length is told, and nothing sent
 * @param of.keptSeconds for how long the connection stays for another request; null where it ends
 */
export function formatReply(
  { status, headers, body }: Reply,
  of: { readonly isHead: boolean; readonly keptSeconds: number | null },
): string {
  const lengthBytes = typeof body === "string" ? Buffer.byteLength(body) : body.length;
  let head = `HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\n`;
  for (let at = 0; at + 1 < headers.length; at += 2) head += `${headers[at]}: ${headers[at + 1]}\r\n`;
  if (status !== 204) head += `content-length: ${lengthBytes}\r\n`;
  head +=
    of.keptSeconds === null
      ? "connection: close\r\n\r\n"
      : `connection: keep-alive\r\nkeep-alive: timeout=${of.keptSeconds}\r\n\r\n`;
  if (of.isHead || lengthBytes === 0) return head;
  // ASCII, as nearly all are.
  if (typeof body === "string" && body.length === lengthBytes) return head + body;
  return head + (typeof body === "string" ? Buffer.from(body) : body).toString("latin1");
}

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  204: "No Content",
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  413: "Payload Too Large",
  414: "URI Too Long",
  417: "Expectation Failed",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
};
