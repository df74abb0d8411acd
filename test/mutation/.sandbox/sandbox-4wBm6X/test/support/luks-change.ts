// @ts-nocheck
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { NightlatchError } from "../../src/core/errors.ts";
import { Secret } from "../../src/core/secret.ts";
import { decryptJwe, encryptJwe, formatFlattenedJwe, parseFlattenedJwe } from "../../src/formats/jose/jwe.ts";
import type { JsonObject } from "../../src/formats/json/json.ts";
import { planRemovals } from "../../src/luks/change/authority.ts";
import { beginChange, holdVolume } from "../../src/luks/change/begin.ts";
import { bindVolume } from "../../src/luks/change/bind.ts";
import type { Change, Tell } from "../../src/luks/change/change.ts";
import type { ChangePower } from "../../src/luks/change/ledger.ts";
import { unbindVolume } from "../../src/luks/change/unbind.ts";
import { makePassphrase } from "../../src/luks/cryptsetup/passphrase.ts";
import { type HeldToken, listTokens } from "../../src/luks/header/bindings.ts";
import { readVolumeHeader } from "../../src/luks/header/header.ts";
import { listSlots } from "../../src/luks/header/slots.ts";
import { nodeSystem } from "../../src/system/node.ts";
import { PASSPHRASE } from "./volumes.ts";

/** Stands in for the servers: what a test seals with it, it recovers, while it is reachable. */
export class TestServer {
  readonly #key = randomBytes(32);
  isReachable = true;

  seal(passphrase: Secret): JsonObject {
    const jwe = encryptJwe({ alg: "dir", enc: "A256GCM" }, this.#key, randomBytes(12), passphrase.reveal());
    return { type: "clevis", jwe: formatFlattenedJwe(jwe) };
  }

  readonly prove = async (token: HeldToken): Promise<Secret> => {
    if (!this.isReachable) throw new NightlatchError("net/unreachable", "the test's server cannot be reached");
    return decryptJwe(parseFlattenedJwe(token.json["jwe"] ?? null), this.#key);
  };
}

export interface Bench {
  readonly image: string;
  readonly stateFolder: string;
  readonly server: TestServer;
}

export function makeState(folder: string): string {
  const state = join(mkdtempSync(join(folder, "state-")), "machine");
  mkdirSync(state, { mode: 0o700 });
  return state;
}

/** @param tell takes what an earlier run had left */
export async function begin(
  power: ChangePower,
  bench: Bench,
  passphrase = PASSPHRASE,
  tell: Tell = () => {},
): Promise<Change> {
  const held = await holdVolume(power, bench.image, bench.stateFolder);
  const once = async (tries: number) => (tries > 0 ? null : Secret.copy(Buffer.from(passphrase)));
  try {
    const change = await beginChange(power, held, { passphrase: once, prove: bench.server.prove, tell });
    const dispose = async () => {
      await change[Symbol.asyncDispose]();
      await held[Symbol.asyncDispose]();
    };
    return { ...change, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await held[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * `nightlatch bind`, without the command: a bind that an earlier run left complete is not made
 * again.
 */
export async function bind(
  power: ChangePower,
  bench: Bench,
  replaces: "all" | "none" = "none",
): Promise<Awaited<ReturnType<typeof bindVolume>> | null> {
  await using change = await begin(power, bench);
  if (change.settled.some((settled) => settled.added !== null)) return null;
  using passphrase = makePassphrase(nodeSystem);
  const held = listTokens(await readVolumeHeader(power, bench.image)).filter((token) => token.type === "clevis");
  const token = bench.server.seal(passphrase);
  const old = await planRemovals(power, change, replaces === "all" ? held : [], new Set());
  return await bindVolume(power, change, { passphrase, token, replaces: old });
}

/** `nightlatch unbind`; with slots that are named it needs no server. */
export async function unbind(power: ChangePower, bench: Bench, named: readonly number[] = []): Promise<void> {
  await using change = await begin(power, bench);
  const held = listTokens(await readVolumeHeader(power, bench.image)).filter((token) => token.type === "clevis");
  if (held.length > 0) await unbindVolume(power, change, await planRemovals(power, change, held, new Set(named)));
}

/**
 * What a person would see of a volume: slots in use, tokens with their slots, and files that a
 * change leaves.
 */
export async function look(bench: Bench): Promise<{ slots: number[]; tokens: string[]; files: string[] }> {
  const header = await readVolumeHeader(nodeSystem, bench.image);
  return {
    slots: listSlots(header)
      .map((slot) => slot.number)
      .sort((a, b) => a - b),
    tokens: listTokens(header).map((token) => `${token.type} ${token.keyslots.join()}`),
    files: readdirSync(bench.stateFolder).filter((name) => /^(?:header|intent)-/.test(name)),
  };
}

export async function headerDigest(image: string): Promise<string> {
  const header = await nodeSystem.readAt(image, 0, 4 << 20);
  return createHash("sha256").update(header).digest("hex");
}
