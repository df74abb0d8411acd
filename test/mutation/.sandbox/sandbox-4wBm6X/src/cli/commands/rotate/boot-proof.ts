// @ts-nocheck
import type { Binding } from "../../../bindings/binding.ts";
import { neededLatches } from "../../../bindings/needed-latches.ts";
import { SERVER_TIMEOUT_MS } from "../../../bindings/recovery.ts";
import { isError } from "../../../core/errors.ts";
import { isSameAddress, serverOf } from "../../../formats/network/server-address.ts";
import { bootId } from "../../../host/boot-id.ts";
import { readBootPhase, readUpMs, wasInInitramfs } from "../../../host/boot-phase.ts";
import { listServers } from "../../../pins/latch/machine.ts";
import { askRotation } from "../../../pins/latch/rotation.ts";
import type { System } from "../../../system/port.ts";
import { isFirst, type Pair } from "./former.ts";
import { latchKeyOf } from "./latch-key.ts";

/** What a boot of this pair may be told by. */
interface Around {
  /** The boot in which the new binding was made. */
  readonly madeIn: string;
  /** Whether the volume has bindings beside the two, any of which may have opened it. */
  readonly hasOthers: boolean;
  readonly signal: AbortSignal;
}

/**
 * Says why no boot will ever tell which of the two it has used, as a clause; null where one can.
 * docs/decisions/138-what-a-boot-tells-of-shares.md
 */
export function whyUntold(pair: Pair, hasOthers: boolean): string | null {
  if (pair.next.kind === "latch") return null;
  if (sharedLatch(pair) === null) {
    return "only a latch of our own server that both of them need tells which one a boot has used";
  }
  return hasOthers ? "the volume has other bindings, and a boot may have opened by one of them" : null;
}

/** The latch that both need; of a binding of several shares it has to be the same one. */
function sharedLatch({ former, next }: Pair): Binding | null {
  if (next.kind === "latch") return next;
  const urls = neededLatches(former).flatMap((latch) => latch.urls);
  return (
    neededLatches(next).find((latch) => urls.some((url) => latch.urls.some((one) => isSameAddress(one, url)))) ?? null
  );
}

/**
 * Says why a boot has not proved a new binding, as a clause; null where one has. That is the word
 * of our own server alone: that the last release of the latch was by the new binding's key, and
 * while this boot's initramfs ran. docs/decisions/116-which-binding-a-boot-used.md
 * @throws NightlatchError file/*
 */
export async function whyUnproved(
  system: System,
  stateFolder: string,
  pair: Pair,
  { madeIn, hasOthers, signal }: Around,
): Promise<string | null> {
  const untold = whyUntold(pair, hasOthers);
  const latch = sharedLatch(pair);
  if (untold !== null || latch === null) return untold;
  if ((await bootId(system)) === madeIn) return "the machine has not booted since";
  // That a latch was released does not say that the other shares were there too.
  if (pair.next.kind !== "latch" && !isFirst(pair)) return "a boot tries the former one first";
  const key = latchKeyOf(latch);
  const phase = await readBootPhase(system);
  if (phase === null) return "it cannot be told when this boot's initramfs was over";
  try {
    const servers = await listServers(system, stateFolder);
    const server = servers.find(({ url }) => url === serverOf(key.url));
    if (server === undefined) return "the machine is not enrolled at its server";
    const { kid } = key;
    const limits = { timeoutMs: SERVER_TIMEOUT_MS, signal };
    const answer = await askRotation(system, stateFolder, server, { latch: key.latch, kid, ends: false }, limits);
    const answeredAtMs = (await readUpMs(system)) ?? phase.upMs;
    if (answer === null) return "its server is of a version that does not tell";
    const { releasedMs } = answer;
    return releasedMs !== null && wasInInitramfs(phase, answeredAtMs, releasedMs)
      ? null
      : "the server knows of no release by it, and by it last, while this boot's initramfs ran";
  } catch (error) {
    if (!isError(error)) throw error;
    return `the server was asked and does not tell: ${error.message}`;
  }
}
