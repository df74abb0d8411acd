import { NightlatchError } from "../../../core/errors.ts";

/** What a request is told that outlives the server: store/closed. */
export function storeClosed(): NightlatchError {
  return new NightlatchError("store/closed", "the server stops, and a request that came late was not answered", {
    meaning: "Nothing was changed or released by it.",
  });
}
