// @ts-nocheck
import { decodeBase64url, toBase64url } from "../../core/bytes.ts";
import { NightlatchError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";
import { isJsonObject, parseJson } from "../json/json.ts";
import { hasExactly, isBase64urlOf } from "../json/narrow.ts";

/** What an operator gives to a machine: docs/format/enrolment.md, "Invite". */
export interface Invite {
  /** Base address of the server, without a trailing slash. */
  readonly url: string;
  /** 16 bytes, base64url. */
  readonly id: string;
  /** 32 bytes: proves to the server that the machine holds the invite. */
  readonly key: Secret;
  /** Thumbprint (S256) of the server's Ed25519 identity. */
  readonly thumbprint: string;
}

/** The length of an invite's id. */
export const INVITE_ID_BYTES = 16;
/** The length of an invite's key. */
export const INVITE_KEY_BYTES = 32;
const PREFIX = "nli1.";
const INVITE_BYTES = 1024;
const MEMBERS = ["id", "key", "thp", "url"];

/** Writes the line that an operator pastes. It holds a secret, if a short-lived one. */
export function formatInvite(invite: Invite): string {
  const { url, id, thumbprint } = invite;
  const json = { url, id, key: toBase64url(invite.key.reveal()), thp: thumbprint };
  return PREFIX + toBase64url(Buffer.from(JSON.stringify(json)));
}

/**
 * Reads the line. White space around it is dropped: it came through a clipboard.
 * @throws NightlatchError invite/malformed
 */
export function parseInvite(line: string): Invite {
  const text = line.trim();
  if (!text.startsWith(PREFIX)) malformed(`the invite does not begin with ${PREFIX}`);
  if (text.length > PREFIX.length + Math.ceil((INVITE_BYTES * 4) / 3)) malformed("the invite is too long");
  const bytes = decodeBase64url(text.slice(PREFIX.length)) ?? damaged();
  try {
    return readInvite(bytes);
  } catch (error) {
    // The cause is not kept: its text could quote the invite's own.
    if (error instanceof NightlatchError && error.code === "invite/malformed") throw error;
    return damaged();
  }
}

function readInvite(bytes: Buffer): Invite {
  const json = parseJson(bytes, "the invite", { lengthBytes: INVITE_BYTES, depth: 1 });
  bytes.fill(0);
  if (!isJsonObject(json)) malformed("the invite is not an object");
  if (!hasExactly(json, MEMBERS)) malformed("the invite has other members than it should");
  const { id, key, thp, url } = json;
  if (typeof url !== "string" || !isBaseAddress(url)) malformed("the invite's address is not one of a server");
  if (!isBase64urlOf(id, INVITE_ID_BYTES)) malformed("the invite's id is damaged");
  if (!isBase64urlOf(thp, 32)) malformed("the invite's thumbprint is damaged");
  if (!isBase64urlOf(key, INVITE_KEY_BYTES)) malformed("the invite's key is damaged");
  return { url, id, key: Secret.take(unpooled(key)), thumbprint: thp };
}

const ADDRESS_LENGTH = 512;

/**
 * Tells whether an address can be a server's: http or https, with no credentials, query, fragment
 * or trailing slash, and with nothing that a URL would have to escape.
 */
export function isBaseAddress(text: string): boolean {
  if (text.length > ADDRESS_LENGTH || !/^https?:\/\/(?!\/)[!-~]+$/.test(text) || text.endsWith("/")) return false;
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  return url.username === "" && url.password === "" && !/[?#\\]/.test(text) && url.hostname !== "";
}

function unpooled(text: string): Buffer {
  const bytes = Buffer.alloc(INVITE_KEY_BYTES);
  bytes.write(text, "base64url");
  return bytes;
}

function damaged(): never {
  return malformed("the invite is damaged: a part of the line may be missing");
}

function malformed(message: string): never {
  throw new NightlatchError("invite/malformed", message, {
    meaning: "Nothing was sent and nothing was changed.",
    remedy: "Copy the whole line that nightlatch machine invite printed, or make a new invite.",
  });
}
