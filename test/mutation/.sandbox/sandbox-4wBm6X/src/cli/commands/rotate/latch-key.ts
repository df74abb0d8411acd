// @ts-nocheck
import { type Binding, listBindings } from "../../../bindings/binding.ts";
import { readClevis, SERVER_TIMEOUT_MS } from "../../../bindings/recovery.ts";
import { askersOf } from "../../../bindings/rotation.ts";
import { isError } from "../../../core/errors.ts";
import { parseClevisPin } from "../../../formats/clevis/clevis.ts";
import { parseTangPin } from "../../../formats/clevis/tang.ts";
import { thumbprintOf } from "../../../formats/jose/jwk.ts";
import { canonicalAddress, isSameAddress, serverOf } from "../../../formats/network/server-address.ts";
import type { VolumeHeader } from "../../../luks/header/header.ts";
import { listServers } from "../../../pins/latch/machine.ts";
import { askRotation } from "../../../pins/latch/rotation.ts";
import { describeFailure } from "../../report.ts";
import type { VolumeInput } from "../../volume/input.ts";

/** Which key of which latch a binding, or a share, is sealed to. */
interface LatchKey {
  readonly url: string;
  readonly latch: string;
  /** S256 thumbprint of the exchange key. */
  readonly kid: string;
}

/**
 * Reads which key of which latch a binding is sealed to. It is of the kind `latch`.
 * @throws NightlatchError clevis/malformed, jwe/*, jwk/*
 */
export function latchKeyOf({ token }: Pick<Binding, "token">): LatchKey {
  const { url, exchangeKey } = parseTangPin(parseClevisPin(readClevis(token)));
  return { url, latch: (canonicalAddress(url) ?? url).slice(-LATCH_ID_LENGTH), kid: thumbprintOf(exchangeKey) };
}

/** 16 bytes as base64url. */
const LATCH_ID_LENGTH = 22;

/**
 * Tells the servers which latches' former keys nothing of this volume is sealed to any more, so
 * that they are destroyed. One that cannot be told now is told at the next run, since what is to be
 * told is read off the header.
 * @returns the addresses of the latches whose former keys have gone with this
 * @throws NightlatchError file/*, machine/bad-state
 */
export async function endFormerKeys(
  { system, terminal }: Pick<VolumeInput, "system" | "terminal">,
  stateFolder: string,
  header: VolumeHeader,
): Promise<readonly string[]> {
  const servers = await listServers(system, stateFolder);
  const leaves = listBindings(header).flatMap((binding) => askersOf(binding));
  const keys = leaves.filter(({ kind }) => kind === "latch").map(latchKeyOf);
  const limits = { timeoutMs: SERVER_TIMEOUT_MS, signal: terminal.signal };
  const ended: string[] = [];
  for (const { url, latch, kid } of keys) {
    const server = servers.find((one) => one.url === serverOf(url));
    const isShared = keys.some((other) => isSameAddress(other.url, url) && other.kid !== kid);
    if (server === undefined || isShared || ended.includes(url)) continue;
    try {
      const asked = await askRotation(system, stateFolder, server, { latch, kid, ends: false }, limits);
      if (asked?.hasFormer !== true) continue;
      const answer = await askRotation(system, stateFolder, server, { latch, kid, ends: true }, limits);
      if (answer?.hasFormer === false) ended.push(url);
    } catch (error) {
      if (!isError(error)) throw error;
      terminal.hint(`nightlatch: the server was not told that the former keys may go; the next run tells it.`);
      terminal.hint(describeFailure(error).text);
    }
  }
  for (const url of ended) terminal.line(`The former keys of ${url} are destroyed at the server.`);
  return ended;
}
