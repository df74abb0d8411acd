import { printable } from "../core/text.ts";
import type { Json } from "../formats/json/json.ts";

/**
 * A time of the server's, RFC 3339, as people read it: to the second, in UTC. What is none is shown
 * as it is.
 */
export function timeText(time: Json | undefined): string {
  const [, date, clock] = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(?:\.\d+)?Z$/.exec(String(time)) ?? [];
  return date === undefined || clock === undefined ? printable(String(time ?? "-")) : `${date} ${clock}Z`;
}
