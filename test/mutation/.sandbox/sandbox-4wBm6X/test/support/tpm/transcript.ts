/** Conversations with a TPM: written down from a real one, and played again by none. */
// @ts-nocheck

import assert from "node:assert/strict";
import type { PinPower } from "../../../src/pins/pin.ts";
import type { ChipPower } from "../../../src/pins/tpm2/chip.ts";
import { NO_DEVICES } from "../no-devices.ts";

/** What went to and fro, in hex; `random` is what this program drew. */
export interface Transcript {
  readonly random: readonly string[];
  readonly exchanges: readonly { readonly command: string; readonly answer: string }[];
}

/** Writes down what `power` is asked for. */
export function record(power: ChipPower): { readonly power: ChipPower; readonly transcript: Transcript } {
  const random: string[] = [];
  const exchanges: { command: string; answer: string }[] = [];
  return {
    transcript: { random, exchanges },
    power: {
      random: (lengthBytes) => {
        const bytes = power.random(lengthBytes);
        random.push(bytes.toString("hex"));
        return bytes;
      },
      openTpm: async (limits) => {
        const connection = await power.openTpm(limits);
        return {
          transmit: async (command) => {
            const answer = await connection.transmit(command);
            exchanges.push({ command: Buffer.from(command).toString("hex"), answer: answer.toString("hex") });
            return answer;
          },
          [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
        };
      },
    },
  };
}

/**
 * Plays a conversation: every command has to be the one that was written down, byte for byte.
 * @param alter changes an answer, by its number
 */
export function play(
  { random, exchanges }: Transcript,
  alter: (answer: Buffer, at: number) => Buffer = (answer) => answer,
): { readonly power: PinPower; readonly isOver: () => boolean; readonly opened: () => number } {
  let [drawn, sent, open] = [0, 0, 0];
  return {
    isOver: () => sent === exchanges.length,
    opened: () => open,
    power: {
      ...NO_DEVICES,
      request: () => assert.fail("no server is asked"),
      random: (lengthBytes) => {
        const bytes = Buffer.from(random[drawn++] ?? "", "hex");
        assert.equal(bytes.length, lengthBytes);
        return bytes;
      },
      openTpm: async () => {
        open++;
        return {
          transmit: async (command) => {
            const at = sent++;
            const { command: expected, answer } = exchanges[at] ?? { command: "none", answer: "" };
            assert.equal(Buffer.from(command).toString("hex"), expected);
            return alter(Buffer.from(answer, "hex"), at);
          },
          [Symbol.asyncDispose]: async () => {
            open--;
          },
        };
      },
    },
  };
}
