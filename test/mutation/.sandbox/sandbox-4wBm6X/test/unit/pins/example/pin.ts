// @ts-nocheck
import { Secret } from "../../../../src/core/secret.ts";
import { type ClevisPin, configurationOf, malformedBinding } from "../../../../src/formats/clevis/clevis.ts";
import type { Pin } from "../../../../src/pins/pin.ts";

/** A pin whose server gives the content key itself, in hex, at the address that the header has. */
export const examplePin: Pin = {
  name: "example",
  read(clevis) {
    const url = readUrl(clevis);
    return {
      kind: "example",
      urls: [url],
      children: [],
      early: { pins: ["example"], network: true },
      describe: () => `example at ${new URL(url).host}`,
      async recover({ system, limits }) {
        const { body } = await system.request({ method: "GET", url, limitBytes: 64, timeoutMs: limits.timeoutMs });
        return [Secret.take(Buffer.from(body.toString("latin1"), "hex"))];
      },
    };
  },
};

function readUrl(clevis: ClevisPin): string {
  const { url } = configurationOf(clevis);
  if (typeof url !== "string" || !URL.canParse(url)) malformedBinding("the binding has no address of an example");
  return url;
}
