// @ts-nocheck
import type { JsonObject } from "../../formats/json/json.ts";
import { LUKS2_TOKENS } from "../../formats/luks/luks2-metadata.ts";
import type { System } from "../../system/port.ts";
import type { Luks2Volume } from "../header/header.ts";
import { runCryptsetup, type Volume } from "./cryptsetup.ts";

/** Finds the lowest numbers that no token has, at most `count` of them. */
export function findFreeTokens(header: Luks2Volume, count: number): readonly number[] {
  const free: number[] = [];
  for (let id = 0; id < LUKS2_TOKENS && free.length < count; id++) if (!header.tokens.has(id)) free.push(id);
  return free;
}

/**
 * Writes a token to a number that is free.
 * @throws NightlatchError as runCryptsetup; luks/refused where it was taken meanwhile, or the
 *   metadata has no room for it
 */
export async function importToken(
  system: Pick<System, "run">,
  volume: Volume,
  id: number,
  token: JsonObject,
): Promise<void> {
  const args = ["token", "import", "--token-id", String(id), "--json-file", "-", volume.device];
  await runCryptsetup(system, volume, args, Buffer.from(JSON.stringify(token)));
}

/**
 * Removes a token.
 * @throws NightlatchError as runCryptsetup
 */
export async function removeToken(system: Pick<System, "run">, volume: Volume, id: number): Promise<void> {
  await runCryptsetup(system, volume, ["token", "remove", "--token-id", String(id), volume.device]);
}
