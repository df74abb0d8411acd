/** An answer before it is written. */
export interface Reply {
  readonly status: number;
  /** `name, value` pairs. */
  readonly headers: readonly string[];
  /** Text goes out in one piece with the head, bytes do not. */
  readonly body: string | Buffer;
}

/** As tang answers what it does not like. */
export function empty(status: number, headers: readonly string[] = []): Reply {
  return { status, headers, body: "" };
}

/** `{"error":CODE}` */
export function refusal(status: number, code: string, headers: readonly string[] = []): Reply {
  return json(status, { error: code }, headers);
}

export function json(status: number, value: unknown, headers: readonly string[] = []): Reply {
  return {
    status,
    headers: ["content-type", "application/json", ...headers],
    body: Buffer.from(JSON.stringify(value)),
  };
}
