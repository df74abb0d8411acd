// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";

/** What a PKCS#11 URI (RFC 7512) says: docs/format/pkcs11.md. What it does not say is absent. */
export interface Pkcs11Uri {
  readonly token: TokenMatch;
  readonly object: ObjectMatch;
  /** An absolute path. */
  readonly modulePath?: string;
  /** The PIN itself. A binding of clevis may hold one; we write none. */
  readonly pinValue?: string;
  /** Where the PIN is, as it is written: `file:/…`. */
  readonly pinSource?: string;
}

/** Which token is meant. Every member that is there has to be the token's own. */
export interface TokenMatch {
  readonly token?: string;
  readonly manufacturer?: string;
  readonly serial?: string;
  readonly model?: string;
  readonly slotId?: number;
}

/** Which key is meant: CKA_LABEL, and CKA_ID in hexadecimal. */
export interface ObjectMatch {
  readonly object?: string;
  readonly id?: string;
}

const SCHEME = "pkcs11:";
/** A path, a label and an identifier fit many times. */
const URI_LENGTH = 2048;
const ID_BYTES = 255;

/** CK_TOKEN_INFO holds so many bytes of each; a longer one is of no token. */
const TOKEN_BYTES = { token: 32, manufacturer: 32, serial: 16, model: 16 } as const;

const PATH_NAMES: ReadonlySet<string> = new Set([
  ...Object.keys(TOKEN_BYTES),
  "slot-id",
  "object",
  "id",
  "type",
  // clevis takes its module from anywhere in the URI, and its own manual puts it here.
  "module-path",
]);
const QUERY_NAMES: ReadonlySet<string> = new Set(["module-path", "pin-value", "pin-source"]);

/** RFC 7512 section 2.3. A slash in the path is clevis's own, for its module-path. */
const PATH_VALUE = /^(?:[\w.~:[\]@!$'()*+,=&/-]|%[0-9A-Fa-f]{2})*$/;
const QUERY_VALUE = /^(?:[\w.~:[\]@!$'()*+,=/?|-]|%[0-9A-Fa-f]{2})*$/;

/**
 * Reads a PKCS#11 URI. It is strict: an attribute that is not known is refused, for it could be
 * what tells the token that is meant from another one, which a PIN would be wasted on.
 * @throws NightlatchError pkcs11/malformed
 */
export function parsePkcs11Uri(text: string): Pkcs11Uri {
  if (text.length > URI_LENGTH) malformed(`it is longer than ${URI_LENGTH} characters`);
  if (!text.startsWith(SCHEME)) malformed(`it does not begin with ${SCHEME}`);
  const [path = "", query] = splitOnce(text.slice(SCHEME.length), "?");
  const values = new Map<string, string>();
  readAttributes(values, path, ";", PATH_NAMES, PATH_VALUE);
  if (query !== undefined) readAttributes(values, query, "&", QUERY_NAMES, QUERY_VALUE);
  const type = textOf(values, "type");
  if (type !== undefined && type !== "private") malformed("its type is not private, and a private key is needed");
  const modulePath = textOf(values, "module-path");
  if (modulePath !== undefined && !isPlainPath(modulePath)) malformed("its module-path is not an absolute path");
  return {
    token: { ...tokenMatch(values), ...present("slotId", slotOf(values)) },
    object: { ...present("object", textOf(values, "object")), ...present("id", idOf(values)) },
    ...present("modulePath", modulePath),
    ...present("pinValue", textOf(values, "pin-value")),
    ...present("pinSource", textOf(values, "pin-source")),
  };
}

/** Writes a PKCS#11 URI in its one spelling, without a PIN. */
export function formatPkcs11Uri({ token, object, modulePath, pinSource }: Pkcs11Uri): string {
  const path = [
    ...pair("token", token.token),
    ...pair("manufacturer", token.manufacturer),
    ...pair("serial", token.serial),
    ...pair("model", token.model),
    ...(token.slotId === undefined ? [] : [`slot-id=${token.slotId}`]),
    ...(object.id === undefined ? [] : [`id=${object.id.replace(/../g, (digits) => `%${digits.toUpperCase()}`)}`]),
    ...pair("object", object.object),
  ];
  const query = [...pair("module-path", modulePath), ...pair("pin-source", pinSource)];
  return `${SCHEME}${path.join(";")}${query.length === 0 ? "" : `?${query.join("&")}`}`;
}

function pair(name: string, value: string | undefined): string[] {
  if (value === undefined) return [];
  const encoded = encodeURIComponent(value).replace(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return [`${name}=${name.endsWith("-path") ? encoded.replaceAll("%2F", "/") : encoded}`];
}

function readAttributes(
  values: Map<string, string>,
  text: string,
  separator: string,
  names: ReadonlySet<string>,
  allowed: RegExp,
): void {
  for (const attribute of text.split(separator)) {
    if (attribute === "") continue; // clevis's own filter leaves a separator at the end
    const [name = "", value] = splitOnce(attribute, "=");
    if (value === undefined || !names.has(name)) malformed("it has an attribute that is not known here");
    if (values.has(name)) malformed(`it says ${name} twice`);
    if (!allowed.test(value)) malformed(`its ${name} holds a character that has to be written as %XX`);
    values.set(name, value);
  }
}

function tokenMatch(values: ReadonlyMap<string, string>): Omit<TokenMatch, "slotId"> {
  const found = Object.entries(TOKEN_BYTES).flatMap(([name, limitBytes]) => {
    const value = textOf(values, name);
    if (value === undefined) return [];
    if (Buffer.byteLength(value) > limitBytes) malformed(`its ${name} is longer than that of any token`);
    return [[name, value] as const];
  });
  return Object.fromEntries(found);
}

function slotOf(values: ReadonlyMap<string, string>): number | undefined {
  const value = values.get("slot-id");
  if (value === undefined) return undefined;
  if (!/^\d{1,10}$/.test(value)) malformed("its slot-id is not a number");
  return Number(value);
}

function idOf(values: ReadonlyMap<string, string>): string | undefined {
  const value = values.get("id");
  if (value === undefined) return undefined;
  const bytes = decodePercent(value);
  if (bytes.length === 0 || bytes.length > ID_BYTES) malformed("its id is empty or too long");
  return bytes.toString("hex");
}

/** Text of an attribute, which is UTF-8 and has no character of control. */
function textOf(values: ReadonlyMap<string, string>, name: string): string | undefined {
  const value = values.get(name);
  if (value === undefined) return undefined;
  const bytes = decodePercent(value);
  const text = bytes.toString("utf8");
  if (!Buffer.from(text).equals(bytes) || /\p{Cc}/u.test(text)) malformed(`its ${name} is not plain text`);
  if (text === "") malformed(`its ${name} is empty`);
  return text;
}

function decodePercent(value: string): Buffer {
  const bytes = Buffer.alloc(value.length);
  let length = 0;
  for (let at = 0; at < value.length; at++) {
    const isEncoded = value[at] === "%";
    bytes[length++] = isEncoded ? Number.parseInt(value.slice(at + 1, at + 3), 16) : value.charCodeAt(at);
    if (isEncoded) at += 2;
  }
  return bytes.subarray(0, length);
}

function isPlainPath(path: string): boolean {
  return path.startsWith("/") && !path.split("/").some((part) => part === "." || part === "..");
}

/** The text up to the first separator and, where there is one, all behind it. */
function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function present<Name extends string, Value>(name: Name, value: Value | undefined): { readonly [N in Name]?: Value } {
  return (value === undefined ? {} : { [name]: value }) as { readonly [N in Name]?: Value };
}

function malformed(why: string): never {
  throw new NightlatchError("pkcs11/malformed", `the PKCS#11 URI cannot be used: ${why}`, {
    remedy: "Write it as p11tool and pkcs11-tool print it, such as pkcs11:token=ops;object=disk",
  });
}
