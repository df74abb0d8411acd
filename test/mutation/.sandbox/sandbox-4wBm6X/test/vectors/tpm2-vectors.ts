/** test/vectors/tpm2.json. */
// @ts-nocheck

import { readFileSync } from "node:fs";
import { parseJson } from "../../src/formats/json/json.ts";
import type { Transcript } from "../support/tpm/transcript.ts";

interface Tpm2Vectors {
  readonly plaintext: string;
  readonly opened: readonly (Transcript & {
    readonly name: string;
    readonly jwe: string;
    /** The code with which it fails; null where it opens. */
    readonly error: string | null;
    /** What a person types, who is asked once; null where nobody is asked. */
    readonly pin: string | null;
  })[];
  readonly sealed: Transcript & { readonly jwe: string; readonly registers: readonly number[] };
}

const text = readFileSync(new URL("./tpm2.json", import.meta.url));
export const tpm2Vectors = parseJson(text, "the vectors", { lengthBytes: 1 << 20 }) as unknown as Tpm2Vectors;
