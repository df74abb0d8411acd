import type { Binding } from "../../../bindings/binding.ts";
import { SERVER_TIMEOUT_MS } from "../../../bindings/recovery.ts";
import { isError } from "../../../core/errors.ts";
import { serverOf } from "../../../formats/network/server-address.ts";
import { bootId } from "../../../host/boot-id.ts";
import { readBootPhase, readUpMs, wasInInitramfs } from "../../../host/boot-phase.ts";
import { listServers } from "../../../pins/latch/machine.ts";
import { askRotation } from "../../../pins/latch/rotation.ts";
import type { System } from "../../../system/port.ts";
import { latchKeyOf } from "./latch-key.ts";

/**
 * Says why a boot has not proved a new binding, as a clause; null where one has. That is the word
 * of our own server alone: that the last release of the latch was by the new binding's key, and
 * while this boot's initramfs ran. docs/decisions/116-which-binding-a-boot-used.md
 * @param madeIn the boot in which the new binding was made
 * @throws NightlatchError file/*
 */
export async function whyUnproved(
  system: System,
  stateFolder: string,
  next: Binding,
  { madeIn, signal }: { readonly madeIn: string; readonly signal: AbortSignal },
): Promise<string | null> {
  if ((await bootId(system)) === madeIn) return "the machine has not booted since";
  const key = next.kind === "latch" ? latchKeyOf(next) : null;
  if (key === null) return "only a latch of our own server tells which binding a boot has used";
  const phase = await readBootPhase(system);
  if (phase === null) return "it cannot be told when this boot's initramfs was over";
  try {
    const servers = await listServers(system, stateFolder);
    const server = servers.find(({ url }) => url === serverOf(key.url));
    if (server === undefined) return "the machine is not enrolled at its server";
    const { latch, kid } = key;
    const limits = { timeoutMs: SERVER_TIMEOUT_MS, signal };
    const answer = await askRotation(system, stateFolder, server, { latch, kid, ends: false }, limits);
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
