// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { findFlaw } from "../../core/ownership.ts";
import { Secret } from "../../core/secret.ts";
import type { System } from "../../system/port.ts";

const MAX_FILE_BYTES = 256;
const [MIN_KEY_BYTES, MAX_KEY_BYTES] = [24, 64];
const PREFIX = "whsec_";

/**
 * Reads the key that notices are signed with: base64 of 24 to 64 bytes in a file that nobody else
 * may read, with or without `whsec_` before it.
 * @param uid of the server, which the file belongs to, if not to root
 * @throws NightlatchError webhook/key, file/*
 */
export async function readWebhookKey(
  system: Pick<System, "readFile" | "stat">,
  path: string,
  uid: number,
): Promise<Secret> {
  const facts = await system.stat(path);
  if (facts !== null && findFlaw(facts, [uid, 0], true) !== null) {
    throw unusable(
      `${path} is open to other users, or belongs to one`,
      `Give it to the server alone: chmod go= ${path}`,
    );
  }
  const bytes = await system.readFile(path, MAX_FILE_BYTES);
  const text = bytes.toString("latin1").trim();
  bytes.fill(0);
  const plain = text.startsWith(PREFIX) ? text.slice(PREFIX.length) : text;
  const key = Buffer.from(plain, "base64");
  const isKey = key.toString("base64") === plain && key.length >= MIN_KEY_BYTES && key.length <= MAX_KEY_BYTES;
  if (isKey) return Secret.take(key);
  key.fill(0);
  throw unusable(
    `${path} holds no key for the webhook`,
    `Make one, and give the receiver the same: head -c 32 /dev/urandom | base64 > ${path}; chmod go= ${path}`,
  );
}

function unusable(message: string, remedy: string): NightlatchError {
  return new NightlatchError("webhook/key", message, { meaning: "Nothing was started, nothing was changed.", remedy });
}
