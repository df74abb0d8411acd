// @ts-nocheck
import { exportLog } from "../../../server/audit/exported.ts";
import { type CommandInput, defineCommand, type ExitStatus } from "../../command.ts";
import { openSource, SOURCE_OPTIONS } from "./source.ts";

type Input = CommandInput<typeof SOURCE_OPTIONS>;

export const command = defineCommand({
  name: "audit export",
  summary: "write the whole log to standard output, for whoever is to verify it elsewhere",
  maxOperands: 0,
  options: SOURCE_OPTIONS,
  details: `A line for each entry, as the log's tree has it, and the signed checkpoint last. A server may run meanwhile; what comes later is not
in it. The log has no keys. It names machines, volumes, addresses and times: treat it as what it is.

  nightlatch audit export > nas.log
  nightlatch audit verify --log nas.log --verifier KEY        # on any machine`,
  run,
});

async function run({ options, system, terminal }: Input): Promise<ExitStatus> {
  using source = await openSource("audit export", options, system);
  for await (const piece of exportLog(source)) {
    if (!terminal.isHeard) return 1;
    await terminal.print(piece);
  }
  return 0;
}
