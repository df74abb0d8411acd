import { parseDuration } from "../../../core/duration.ts";
import { NightlatchError } from "../../../core/errors.ts";
import { TETHER_FOLDER } from "../../../core/places.ts";
import { buildPause } from "../../../formats/own/tether.ts";
import { defineCommand } from "../../command.ts";

const LONGEST_MS = 86_400_000;

export const command = defineCommand({
  name: "tether pause",
  summary: "have no server's silence trip the tether for a while, as while the network is worked on",
  operands: "DURATION",
  minOperands: 1,
  maxOperands: 1,
  options: {
    run: { value: "DIR", help: "what the tether keeps until the machine goes off", default: TETHER_FOLDER },
  },
  details: `DURATION is a whole number and s, m or h, at most 24h; 0s ends it. A lock trips the tether all the same.
Once it is over silence counts again, also what went before.`,
  async run({ operands: [text = ""], options, system, terminal }) {
    const forMs = parseDuration(text, ["s", "m", "h"]);
    if (forMs === null || forMs > LONGEST_MS) {
      throw new NightlatchError("usage/wrong", `tether pause: ${JSON.stringify(text)} is no duration of at most 24h`);
    }
    if ((await system.stat(options.run)) === null) throw notRunning();
    await system.writeFile(`${options.run}/pause.json`, buildPause(system.upMs() + forMs), 0o600);
    terminal.line(forMs === 0 ? "Silence trips the tether again." : `Silence trips nothing for ${text}. A lock does.`);
    terminal.result({ ok: true, seconds: forMs / 1000 });
    return 0;
  },
});

function notRunning(): NightlatchError {
  return new NightlatchError("tether/off", "the tether does not run here, and did not since the machine was started", {
    meaning: "Nothing was changed.",
    remedy: "Start it: systemctl enable --now nightlatch-tether",
  });
}
