import type { Intent } from "../formats/intent.ts";

import type { HeldToken } from "./bindings.ts";
import { type Change, readHeader } from "./change.ts";
import { closeOrWarn, declare } from "./declaration.ts";
import type { ChangePower } from "./ledger.ts";
import { carryOut, lastWay, planRemoval } from "./removal.ts";

/**
 * Removes tokens and the keyslots that they open. Cut short, the next change carries it out.
 * @throws NightlatchError luks/last-way, luks/unsupported, luks/harmed, system/*, file/*
 */
export async function unbindVolume(power: ChangePower, change: Change, tokens: readonly HeldToken[]): Promise<void> {
  const header = await readHeader(power, change);
  const removes = tokens.map((token) => planRemoval(header, token));
  if (removes.some((removal) => removal.keyslot === change.openedBy))
    throw lastWay(change.volume.device, change.openedBy);
  const intent: Intent = { operation: "unbind", adds: null, removes };
  const declared = await declare(power, change, header, intent);
  for (const removal of removes) await carryOut(power, change, removal);
  await closeOrWarn(power, change, declared);
}
