// @ts-nocheck
import { DEFAULT_ENTRY } from "../../../boot/entry/entries.ts";
import { isError } from "../../../core/errors.ts";
import { planReboot } from "../../../reboot/plan/plan.ts";
import { isRemembered, type RemovedKey, remember, removeRememberedKey } from "../../../reboot/remember.ts";
import { findAuthorities } from "../../../reboot/stage/authority.ts";
import { keySources, knownKeys } from "../../../reboot/ways/keys.ts";
import type { ExitStatus } from "../../command.ts";
import { readKeyFile, stateFolderOf, TRIES } from "../../volume/input.ts";
import { tellCleaned } from "./cancel.ts";
import { converse } from "./conversation.ts";
import type { StagingInput } from "./options.ts";

/** Every volume that the next boot opens gets one more slot, for a key that stays. */
export async function rememberKey(input: StagingInput): Promise<ExitStatus> {
  const { system, terminal, options } = input;
  const plan = await planReboot(system, DEFAULT_ENTRY);
  const stateFolder = stateFolderOf(options.state);
  const conversation = converse(input);
  using keys = await knownKeys(system, stateFolder, conversation);
  const sources = keySources(system, stateFolder, conversation);
  const authorities = await findAuthorities(system, plan.volumes, keys, sources, "proved");
  await remember(system, plan.volumes, authorities, stateFolder);
  terminal.line(
    "A key is kept on the encrypted root: reboots ask for no passphrase. nightlatch reboot --forget destroys it.",
  );
  terminal.result({ ok: true, remembered: true });
  return 0;
}

/** The remembered key goes, with its keyslots and all that is staged. */
export async function removeKey(input: StagingInput): Promise<ExitStatus> {
  const { system, terminal, options } = input;
  const removedKey = (await isRemembered(system, stateFolderOf(options.state))) ? await proveAndRemove(input) : null;
  const slots = removedKey?.slots ?? 0;
  terminal.line(
    removedKey === null ? "No key was remembered." : `The key is gone, with its slot on ${slots} volume(s).`,
  );
  const failures = removedKey === null ? [] : tellCleaned(terminal, removedKey.staged);
  terminal.result({ ok: failures.length === 0, remembered: false, removed: slots, failures });
  return failures.length === 0 ? 0 : 1;
}

/** A person who mistypes is asked again. */
async function proveAndRemove(input: StagingInput): Promise<RemovedKey | null> {
  const { system, terminal, options } = input;
  const plan = await planReboot(system, DEFAULT_ENTRY);
  const devices = plan.volumes.flatMap(({ found }) => (found.header === null ? [] : [found.device]));
  const given = await readKeyFile(options["key-file"], system, terminal);
  for (let tries = 1; ; tries++) {
    using proof = given ?? (await terminal.askSecret("Passphrase, to make sure that another slot opens: "));
    try {
      return await removeRememberedKey(system, devices, proof, stateFolderOf(options.state));
    } catch (error) {
      if (given !== null || tries === TRIES || !isError(error, "reboot/wrong-key")) throw error;
      terminal.hint(`${error.message}. Try again.`);
    }
  }
}
