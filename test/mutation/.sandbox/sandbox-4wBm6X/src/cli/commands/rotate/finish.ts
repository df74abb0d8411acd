// @ts-nocheck
import { bindingJson } from "../../../bindings/binding.ts";
import { isError, NightlatchError } from "../../../core/errors.ts";
import { shellWord } from "../../../core/text.ts";
import { readHeader } from "../../../luks/change/change.ts";
import { beginVolumeChange, holdForChange } from "../../volume/change.ts";
import { settledJson } from "../../volume/change-report.ts";
import type { VolumeInput } from "../../volume/input.ts";
import type { Passphrases } from "../../volume/passphrases.ts";
import { listFormers, type Pair, removeFormer } from "./former.ts";
import { endFormerKeys } from "./latch-key.ts";

/**
 * Removes the former bindings of one volume, because a person says so, and tells their servers.
 * @returns what it tells a program: docs/json.md
 * @throws NightlatchError as holdVolume, beginChange; luks/not-proved, luks/last-way
 */
export async function finishVolume(
  input: VolumeInput,
  device: string,
  passphrases: Passphrases,
): Promise<Record<string, unknown>> {
  const { system, terminal } = input;
  await using held = await holdForChange(input, device);
  const { uuid, stateFolder } = held;
  if (held.left.length === 0 && (await listFormers(input, held)).pairs.length === 0) {
    terminal.line(`${device} has no former binding beside its successor.`);
    const ended = await endFormerKeys(input, stateFolder, await readHeader(system, held));
    return { ok: true, device, uuid, removed: [], ended, ...settledJson({ ...held, settled: [] }) };
  }
  await using change = await beginVolumeChange(input, held, { passphrases });
  const { pairs } = await listFormers(input, held);
  for (const pair of pairs) {
    await removeFormer(input, change, pair).catch((error: unknown) => {
      throw isError(error, "luks/not-proved") ? notProved(device, pair, error) : error;
    });
  }
  const ended = await endFormerKeys(input, stateFolder, await readHeader(system, change));
  const removed = pairs.map(({ former }) => bindingJson(former));
  return { ok: true, device, uuid, removed, ended, ...settledJson(change) };
}

function notProved(device: string, { former }: Pair, { message, meaning }: NightlatchError): NightlatchError {
  const [keyslot = "N"] = former.token.keyslots;
  return new NightlatchError("luks/not-proved", message, {
    ...(meaning === undefined ? {} : { meaning }),
    remedy: `If no passphrase of yours opens keyslot ${keyslot}: nightlatch unbind ${shellWord(device)} --slot ${keyslot}`,
  });
}
