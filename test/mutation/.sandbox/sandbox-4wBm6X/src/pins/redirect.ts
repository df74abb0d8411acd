// @ts-nocheck
import { NightlatchError } from "../core/errors.ts";
import type { HttpResponse } from "../system/port.ts";

/**
 * Gives the error for an answer that leads to another address; null for any other answer. A
 * redirect is not followed: whoever sits in between could send a machine anywhere, and stock clevis
 * asks the address that the header has. The message tells scheme, host and port of the new address
 * alone: the rest may hold what is not for a log.
 */
export function redirectOf(url: string, { status, location }: HttpResponse): NightlatchError | null {
  if (![301, 302, 303, 307, 308].includes(status)) return null;
  const target = location !== undefined && URL.canParse(location, url) ? new URL(location, url) : null;
  const from = new URL(url);
  const isWeb = target?.protocol === "http:" || target?.protocol === "https:";
  const where = target !== null && isWeb ? `to ${target.protocol}//${target.host}` : "elsewhere";
  return new NightlatchError("pin/bad-reply", `${from.host} leads ${where} (status ${status}), which is not followed`, {
    remedy:
      target?.host === from.host && target.protocol === from.protocol
        ? `Use the address itself that ${from.host} leads to; curl -sI tells it.`
        : "Where that is the key server, bind to its address there; a network's login page leads elsewhere too, until somebody logs in.",
  });
}
