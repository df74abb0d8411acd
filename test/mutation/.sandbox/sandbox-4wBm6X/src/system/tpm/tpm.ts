// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import type { AttemptLimits } from "../../core/limits.ts";
import { lengthOfMessage, refuseAnswer, TPM_MESSAGE_BYTES } from "../../formats/tpm2/command.ts";
import { parseTpmPlace } from "../../formats/tpm2/place.ts";
import { wantsAgain } from "../../formats/tpm2/response-code.ts";
import type { TpmConnection } from "../port.ts";
import { openDevice } from "./device.ts";
import { silent } from "./line.ts";
import { openSocket } from "./socket.ts";

const HEAD_BYTES = 10;
/** tpm2-tss waits as long before it sends a command again, and longer each time. */
const PAUSE_MS = 20;

/** @see System.openTpm */
export async function connectTpm({ timeoutMs, signal }: AttemptLimits): Promise<TpmConnection> {
  const place = parseTpmPlace(process.env["TPM2TOOLS_TCTI"]);
  if (place === null) {
    throw new NightlatchError("tpm2/no-chip", "TPM2TOOLS_TCTI names a kind of TPM that is not supported", {
      remedy: "Say device:PATH, swtpm:path=PATH or swtpm:host=HOST,port=PORT; unset it for /dev/tpmrm0.",
    });
  }
  const own = AbortSignal.timeout(timeoutMs);
  const ends = signal === undefined ? own : AbortSignal.any([own, signal]);
  const line = place.kind === "device" ? await openDevice(place.path, timeoutMs, ends) : await openSocket(place, ends);
  return {
    async transmit(command) {
      for (let pauseMs = PAUSE_MS; ; pauseMs *= 2) {
        const answer = await line.exchange(command);
        if (answer.length < HEAD_BYTES || answer.length > TPM_MESSAGE_BYTES)
          refuseAnswer("it has no length of an answer");
        if (lengthOfMessage(answer) !== answer.length) refuseAnswer("its length is another than it says");
        if (!wantsAgain(answer.readUInt32BE(6))) return answer;
        await pause(pauseMs, ends);
      }
    },
    [Symbol.asyncDispose]: () => line[Symbol.asyncDispose](),
  };
}

async function pause(delayMs: number, ends: AbortSignal): Promise<void> {
  if (ends.aborted) throw silent("it is busy");
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      ends.removeEventListener("abort", giveUp);
      resolve();
    }, delayMs);
    const giveUp = () => {
      clearTimeout(timer);
      reject(silent("it is busy"));
    };
    ends.addEventListener("abort", giveUp, { once: true });
  });
}
