// @ts-nocheck
import { isError, NightlatchError } from "../../core/errors.ts";
import type { AttemptLimits } from "../../core/limits.ts";
import {
  type CardAnswer,
  type CardRequest,
  formatCardRequest,
  MESSAGE_BYTES,
  parseCardAnswer,
} from "../../formats/pkcs11/exchange.ts";
import { ownProgram } from "../../system/own-program.ts";
import type { System } from "../../system/port.ts";

/**
 * Makes one request to a card, by a program of ours that loads the card's driver. Whatever the
 * driver does, this process sees an answer or an error. The caller wipes the answer's secrets.
 * @throws NightlatchError card/driver-crashed, card/driver-hangs, card/failed
 */
export async function askCard(
  system: Pick<System, "run">,
  request: CardRequest,
  { timeoutMs, signal }: AttemptLimits,
): Promise<CardAnswer> {
  using stdin = formatCardRequest(request);
  const { stdout } = await system
    .run({
      argv: ownProgram("pkcs11"),
      stdin: stdin.reveal(),
      timeoutMs,
      outputLimitBytes: MESSAGE_BYTES,
      ...(signal === undefined ? {} : { signal }),
    })
    .catch((error: unknown) => {
      if (isError(error, "system/timeout") && signal?.aborted !== true) throw hangs(request, timeoutMs);
      throw error;
    });
  try {
    // It ends itself by a signal once it has answered, so that a driver cannot hang its exit.
    return parseCardAnswer(stdout);
  } catch (error) {
    if (isError(error, "pkcs11/malformed")) throw crashed(request);
    throw error;
  } finally {
    stdout.fill(0);
  }
}

const NOTHING_ELSE =
  "Nothing else was harmed: the driver ran in a process of its own. The passphrase opens the volume.";

function crashed({ module, pin }: CardRequest): NightlatchError {
  return new NightlatchError("card/driver-crashed", `the card's driver ${module} crashed`, {
    meaning: `${NOTHING_ELSE}${mayHaveTried(pin)}`,
    remedy: `See whether it works for others: pkcs11-tool --module ${module} --list-slots`,
  });
}

function hangs({ module, pin }: CardRequest, timeoutMs: number): NightlatchError {
  return new NightlatchError(
    "card/driver-hangs",
    `the card's driver ${module} gave no answer within ${Math.round(timeoutMs / 1000)} s, and was ended`,
    {
      meaning: `${NOTHING_ELSE}${mayHaveTried(pin)}`,
      remedy: `See whether it works for others: pkcs11-tool --module ${module} --list-slots`,
    },
  );
}

const mayHaveTried = (pin: Uint8Array | null): string =>
  pin === null ? "" : " The card may have counted one try of the PIN.";
