// @ts-nocheck
import { parseDuration } from "../../../core/duration.ts";
import { NightlatchError } from "../../../core/errors.ts";
import { buildPause } from "../../../formats/own/tether.ts";
import type { System } from "../../../system/port.ts";

const LONGEST_MS = 86_400_000;

/**
 * Has silence trip nothing for a while. It is durable when it returns.
 * @param folder what the tether keeps, which its unit makes
 * @returns for how long, in milliseconds
 * @throws NightlatchError usage/wrong, tether/off, file/*
 */
export async function pauseTether(
  system: Pick<System, "stat" | "writeFile" | "upMs">,
  folder: string,
  duration: string,
): Promise<number> {
  const forMs = parseDuration(duration, ["s", "m", "h"]);
  if (forMs === null || forMs > LONGEST_MS) {
    const text = `tether: --pause ${JSON.stringify(duration)} is no duration of at most 24h`;
    throw new NightlatchError("usage/wrong", text, { meaning: "Nothing was changed." });
  }
  if ((await system.stat(folder)) === null) {
    throw new NightlatchError("tether/off", "the tether did not run here since the machine was started", {
      meaning: "Nothing was changed.",
      remedy: "Start it: systemctl enable --now nightlatch-tether",
    });
  }
  await system.writeFile(`${folder}/pause.json`, buildPause(system.upMs() + forMs), 0o600);
  return forMs;
}
