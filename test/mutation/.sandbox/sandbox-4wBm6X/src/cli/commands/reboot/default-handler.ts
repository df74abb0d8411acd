// @ts-nocheck
import { DEFAULT_ENTRY } from "../../../boot/entry/entries.ts";
import { NightlatchError } from "../../../core/errors.ts";
import { rememberedKey } from "../../../luks/remembered-key.ts";
import { requireCleanUp } from "../../../reboot/clean-up-units.ts";
import { makeDefault } from "../../../reboot/default-handler.ts";
import { planReboot } from "../../../reboot/plan/plan.ts";
import { findAuthorities, KeyRing } from "../../../reboot/stage/authority.ts";
import { keySources } from "../../../reboot/ways/keys.ts";
import type { ExitStatus } from "../../command.ts";
import { stateFolderOf } from "../../volume/input.ts";
import { converse } from "./conversation.ts";
import type { StagingInput } from "./options.ts";

/** From now on every reboot of the system stages what it can. */
export async function makeDefaultHandler(input: StagingInput): Promise<ExitStatus> {
  const { system, terminal } = input;
  await requireCleanUp(system);
  await requireAuthority(input);
  await makeDefault(system);
  terminal.line(
    "Every reboot of the system now comes back by itself where it can, and is an ordinary one where it cannot.",
  );
  terminal.result({ ok: true, default: true });
  return 0;
}

/**
 * Somebody else's reboot can ask nobody: a remembered key, or bindings that open every volume now.
 * @throws NightlatchError reboot/blocked
 */
async function requireAuthority(input: StagingInput): Promise<void> {
  const { system, options } = input;
  const stateFolder = stateFolderOf(options.state);
  using key = await rememberedKey(system, stateFolder);
  if (key !== null) return;
  using keys = new KeyRing();
  try {
    const { volumes } = await planReboot(system, DEFAULT_ENTRY);
    const sources = keySources(system, stateFolder, { ...converse(input), askSecret: null });
    await findAuthorities(system, volumes, keys, sources, "proved");
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    throw new NightlatchError(
      "reboot/blocked",
      `no key is remembered, and a reboot that somebody else starts could ask nobody: ${error.message}`,
      { meaning: "Nothing was changed.", remedy: "Run once: nightlatch reboot --remember" },
    );
  }
}
