// @ts-nocheck
import type { JsonObject } from "../../../formats/json/json.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { timeText } from "../../time-text.ts";
import { changedName, hintUnrecorded, parseTime } from "./governed.ts";

export const command = defineCommand({
  name: "machine lease",
  summary: "open a window in which a machine is released once",
  operands: "NAME TIME",
  minOperands: 2,
  maxOperands: 2,
  options: {
    grace: {
      value: "TIME",
      help: "how long after its first release a latch is released again, to the same address; 0: not at all",
      default: "60s",
    },
    admin: ADMIN_OPTION,
  },
  details: `For planned work on a machine whose policy is lease, such as 15m. It is good for one boot: the first release of each latch
starts the grace, since an answer can be lost on the way; afterwards that latch is closed. Until then whoever has the machine,
or a copy of its disk, gets the key, so keep it short. Locking the machine ends it for good. A second one takes its place.`,
  async run({ operands, options, system, terminal }) {
    const [name = "", time = ""] = operands;
    const lifetimeMs = parseTime(time);
    const graceMs = options.grace === "0" ? 0 : parseTime(options.grace);
    const answer = await askServer(system, options.admin, "POST", ["machines", name, "lease"], { lifetimeMs, graceMs });
    const lease = (answer["machine"] as JsonObject)["lease"] as JsonObject;
    terminal.line(`${changedName(answer)} is released until ${timeText(lease["until"])}, each latch once.`);
    hintUnrecorded(terminal, answer);
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});
