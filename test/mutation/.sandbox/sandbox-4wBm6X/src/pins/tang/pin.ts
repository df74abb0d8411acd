// @ts-nocheck
import { parseTangPin } from "../../formats/clevis/tang.ts";
import { isLatch } from "../../formats/network/server-address.ts";
import type { Pin } from "../pin.ts";
import { recoverTangKey } from "./exchange.ts";

/** A line of the log repeats no more than this of a server's name. */
const NAME_LENGTH = 80;

/** The pin tang. A latch is one too, at an address of our server: docs/format/latch.md. */
export const tangPin: Pin = {
  name: "tang",
  read(clevis) {
    const pin = parseTangPin(clevis);
    return {
      get kind() {
        return isLatch(pin.url) ? "latch" : "tang";
      },
      urls: [pin.url],
      children: [],
      early: { pins: ["tang"], network: true },
      describe: () => `tang at ${shorten(new URL(pin.url).host)}`,
      recover: ({ system, limits }) => recoverTangKey(system, pin, limits),
    };
  },
};

function shorten(text: string): string {
  return text.length <= NAME_LENGTH ? text : `${text.slice(0, NAME_LENGTH)}…`;
}
