// @ts-nocheck
import assert from "node:assert/strict";
import type { PinPower } from "../../src/pins/pin.ts";
import { noTpm } from "./tpm/no-tpm.ts";

/** What a pin needs of the world beside a server: whoever asks none of it fails at its use. */
export const NO_DEVICES: Omit<PinPower, "request" | "random" | "askPin"> = {
  run: () => assert.fail("no program is run"),
  realPath: () => assert.fail("no path is followed"),
  findExposures: () => assert.fail("no file is looked at"),
  readFileIfPresent: () => assert.fail("no file is read"),
  openTpm: noTpm,
};
