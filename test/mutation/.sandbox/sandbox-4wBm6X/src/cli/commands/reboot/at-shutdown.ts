// @ts-nocheck
import { isError, NightlatchError } from "../../../core/errors.ts";
import { type Announcing, announceBoot } from "../../../reboot/lease.ts";
import { stageAtShutdown } from "../../../reboot/ways/at-shutdown.ts";
import { planByBindings } from "../../../reboot/ways/bindings.ts";
import type { ExitStatus } from "../../command.ts";
import { stateFolderOf } from "../../volume/input.ts";
import { converse } from "./conversation.ts";
import type { RebootInput } from "./options.ts";

/**
 * Within a shutdown. Where something speaks against a kexec the reboot is an ordinary one, and the
 * journal says whether that comes back by itself too.
 */
export async function rebootAtShutdown(input: RebootInput): Promise<ExitStatus> {
  const { options, system, terminal } = input;
  const outcome = await stageAtShutdown(system, stateFolderOf(options.state), converse(input));
  switch (outcome.goesOn) {
    case "down":
      break;
    case "into-firmware-setup":
      terminal.hint("An ordinary reboot: into the firmware's own menu, as was asked for.");
      break;
    case "called-off":
      terminal.hint("The reboot was called off: what was staged for it is taken back.");
      break;
    case "by-kexec":
      terminal.line(`The next boot, ${outcome.plan.entry.title}, comes by kexec and opens its volumes by itself.`);
      await announce(input, outcome.announcing);
      break;
    case "through-firmware":
      terminal.hint(`An ordinary reboot: ${outcome.why.message} [${outcome.why.code}]`);
      await tellBindings(input);
  }
  return 0;
}

/** The reboot goes on whatever the servers say. */
async function announce({ options, system, terminal }: RebootInput, announcing: Announcing): Promise<void> {
  try {
    await announceBoot(system, stateFolderOf(options.state), announcing, terminal.signal);
  } catch (error) {
    if (!isError(error, "reboot/no-lease")) throw error;
    terminal.hint(`It will ask for a passphrase all the same: ${error.message} [${error.code}]`);
  }
}

async function tellBindings(input: RebootInput): Promise<void> {
  const { options, system, terminal } = input;
  const { signal } = terminal;
  try {
    const { volumes, announcing } = await planByBindings(system, { stateFolder: stateFolderOf(options.state), signal });
    const how = volumes.flatMap(({ name, opening }) => (opening.kind === "itself" ? [`${name}: ${opening.why}`] : []));
    terminal.line(`It opens its volumes by itself all the same: ${how.join("; ")}.`);
    await announce(input, announcing);
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    terminal.hint(`It will ask for a passphrase: ${error.message} [${error.code}]`);
  }
}
