// @ts-nocheck
import { decodeBase64url } from "../../core/bytes.ts";
import { isJsonObject, type Json, type JsonObject } from "./json.ts";

/*
 * What a format may ask of a piece of JSON. Each answers yes or no, and tells the compiler; what is
 * wrong the format says in its own words.
 */

/** Tells whether it is an object with these members and no others, in any order. */
export function hasExactly(json: Json | undefined, members: readonly string[]): json is JsonObject {
  if (!isJsonObject(json)) return false;
  return Object.keys(json).length === members.length && members.every((member) => Object.hasOwn(json, member));
}

/** Tells whether it is text of 1 to `limit` UTF-16 units. */
export function isText(json: Json | undefined, limit: number): json is string {
  return typeof json === "string" && json !== "" && json.length <= limit;
}

/** Tells whether it is text of a pattern, which has to be anchored. */
export function isTextLike(json: Json | undefined, pattern: RegExp): json is string {
  return typeof json === "string" && pattern.test(json);
}

/** Tells whether it is unpadded base64url of exactly so many bytes. */
export function isBase64urlOf(json: Json | undefined, lengthBytes: number): json is string {
  return typeof json === "string" && decodeBase64url(json)?.length === lengthBytes;
}

/**
 * Tells whether it is a whole number from `least` to `most`, both included, and one that a double
 * tells from its neighbours.
 */
export function isInteger(json: Json | undefined, least: number, most: number): json is number {
  return typeof json === "number" && Number.isSafeInteger(json) && json >= least && json <= most;
}

/** Tells whether it is a list of at most `limit` items. */
export function isList(json: Json | undefined, limit: number): json is Json[] {
  return Array.isArray(json) && json.length <= limit;
}
