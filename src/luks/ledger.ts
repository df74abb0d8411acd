import { type Intent, parseIntent } from "../formats/intent.ts";
import type { JsonObject } from "../formats/json.ts";
import type { System } from "../system/port.ts";
import type { HeldToken } from "./bindings.ts";
import type { VolumeHeader } from "./header.ts";

/** What a header change may do. */
export type ChangePower = Pick<
  System,
  | "run"
  | "readAt"
  | "readFile"
  | "writeFile"
  | "removeFile"
  | "makeDirectory"
  | "listDirectory"
  | "stat"
  | "lock"
  | "random"
>;

/** An intent that is on record, and under which number. */
export interface HeldIntent {
  readonly id: number;
  readonly intent: Intent;
}

/**
 * Where a volume keeps tokens and intents: LUKS2 in its header, LUKS1 in luksmeta and a file. Each call is durable when it
 * returns, and all or nothing.
 */
export interface Ledger {
  /** @throws NightlatchError luks/no-token-slot, luks/unsupported where a binding could not be added to this volume */
  requireRoom(header: VolumeHeader, tokenBytes: number): void;
  addToken(header: VolumeHeader, token: JsonObject, keyslot: number): Promise<void>;
  removeToken(token: HeldToken): Promise<void>;
  /** @throws NightlatchError luks/unknown-intent */
  listIntents(header: VolumeHeader): Promise<readonly HeldIntent[]>;
  addIntent(header: VolumeHeader, intent: Intent): Promise<HeldIntent>;
  removeIntent(held: HeldIntent): Promise<void>;
}

/** Intents among tokens, as LUKS2 keeps them. @throws NightlatchError luks/unknown-intent */
export function intentsAmong(tokens: readonly HeldToken[]): readonly HeldIntent[] {
  return tokens.flatMap(({ id, json }) => {
    const intent = parseIntent(json);
    return intent === null ? [] : [{ id, intent }];
  });
}
