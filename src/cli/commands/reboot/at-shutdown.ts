import { DEFAULT_ENTRY } from "../../../boot/entry/entries.ts";
import { NightlatchError } from "../../../core/errors.ts";
import { isRebooting } from "../../../host/shutdown.ts";
import { markStaged, wantsFirmwareSetup } from "../../../reboot/default-handler.ts";
import type { CommandInput, ExitStatus } from "../../command.ts";
import { planByBindings } from "./bindings.ts";
import { prepare } from "./kexec.ts";
import { takeBackAll } from "./staged.ts";

/**
 * Within a shutdown, with the remembered key or what a binding gives: where something speaks against a kexec the reboot is an ordinary one, and
 * the journal says whether that comes back by itself too. Starts no unit: a job queued now would be at odds with the shutdown's own.
 */
export async function stageAtShutdown(input: CommandInput): Promise<ExitStatus> {
  const { system, terminal } = input;
  if (!(await isRebooting(system))) return 0;
  if (await wantsFirmwareSetup(system)) {
    terminal.hint("An ordinary reboot: into the firmware's own menu, as was asked for.");
    return 0;
  }
  try {
    const { plan } = await prepare(input, DEFAULT_ENTRY, null, async () => {});
    if (!(await isRebooting(system))) {
      await takeBackAll(input, String(input.options["state"]));
      terminal.hint("The reboot was called off: what was staged for it is taken back.");
      return 0;
    }
    await markStaged(system);
    terminal.line(`The next boot, ${plan.entry.title}, comes by kexec and opens its volumes by itself.`);
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    terminal.hint(`An ordinary reboot: ${error.message} [${error.code}]`);
    await tellBindings(input);
  }
  return 0;
}

async function tellBindings(input: CommandInput): Promise<void> {
  const { terminal } = input;
  try {
    const { volumes } = await planByBindings(input);
    const how = volumes.flatMap(({ name, opening }) => (opening.kind === "itself" ? [`${name}: ${opening.why}`] : []));
    terminal.line(`It opens its volumes by itself all the same: ${how.join("; ")}.`);
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    terminal.hint(`It will ask for a passphrase: ${error.message} [${error.code}]`);
  }
}
