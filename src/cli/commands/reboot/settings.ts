import { DEFAULT_ENTRY } from "../../../boot/entry/entries.ts";
import { isError, NightlatchError } from "../../../core/errors.ts";
import { makeDefault } from "../../../reboot/default-handler.ts";
import { requireCleanUp } from "../../../reboot/go.ts";
import { planReboot } from "../../../reboot/plan/plan.ts";
import { type Forgotten, forget, isRemembered, remember, rememberedKey } from "../../../reboot/remember.ts";
import { findAuthorities, KeyRing } from "../../../reboot/stage/authority.ts";
import type { CommandInput, ExitStatus } from "../../command.ts";
import { readKeyFile, TRIES } from "../../volume/input.ts";
import { askOn, knownKeys, recoverBy } from "./keys.ts";
import { tellTakenBack } from "./take-back.ts";

/** Every volume that the next boot opens gets one more slot, for a key that stays. */
export async function rememberKey(input: CommandInput): Promise<ExitStatus> {
  const { system, terminal, options } = input;
  const plan = await planReboot(system, DEFAULT_ENTRY);
  using keys = await knownKeys(input);
  const sources = { recover: recoverBy(input), ask: options["key-file"] === undefined ? askOn(input) : null };
  const authorities = await findAuthorities(system, plan.volumes, keys, sources, "proved");
  await remember(system, plan.volumes, authorities, String(options["state"]));
  terminal.line(
    "A key is kept on the encrypted root: reboots ask for no passphrase. nightlatch reboot --forget destroys it.",
  );
  terminal.result({ ok: true, remembered: true });
  return 0;
}

export async function forgetKey(input: CommandInput): Promise<ExitStatus> {
  const { system, terminal, options } = input;
  const forgotten = (await isRemembered(system, String(options["state"]))) ? await proveAndForget(input) : null;
  const removed = forgotten?.slots ?? 0;
  terminal.line(
    forgotten === null ? "No key was remembered." : `The key is gone, with its slot on ${removed} volume(s).`,
  );
  const failures = forgotten === null ? [] : tellTakenBack(input, forgotten.staged);
  terminal.result({ ok: failures.length === 0, remembered: false, removed, failures });
  return failures.length === 0 ? 0 : 1;
}

/** A person who mistypes is asked again. */
async function proveAndForget(input: CommandInput): Promise<Forgotten | null> {
  const { system, terminal, options } = input;
  const plan = await planReboot(system, DEFAULT_ENTRY);
  const devices = plan.volumes.flatMap(({ found }) => (found.header === null ? [] : [found.device]));
  const given = await readKeyFile(input);
  for (let tries = 1; ; tries++) {
    using proof = given ?? (await terminal.askSecret("Passphrase, to make sure that another slot opens: "));
    try {
      return await forget(system, devices, proof, String(options["state"]));
    } catch (error) {
      if (given !== null || tries === TRIES || !isError(error, "reboot/wrong-key")) throw error;
      terminal.hint(`${error.message}. Try again.`);
    }
  }
}

export async function makeDefaultHandler(input: CommandInput): Promise<ExitStatus> {
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

/** Somebody else's reboot can ask nobody: a remembered key, or bindings that open every volume now. @throws NightlatchError reboot/blocked */
async function requireAuthority(input: CommandInput): Promise<void> {
  const { system, options } = input;
  using key = await rememberedKey(system, String(options["state"]));
  if (key !== null) return;
  using keys = new KeyRing();
  try {
    const { volumes } = await planReboot(system, DEFAULT_ENTRY);
    await findAuthorities(system, volumes, keys, { recover: recoverBy(input), ask: null }, "proved");
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    throw new NightlatchError(
      "reboot/blocked",
      `no key is remembered, and a reboot that somebody else starts could ask nobody: ${error.message}`,
      { meaning: "Nothing was changed.", remedy: "Run once: nightlatch reboot --remember" },
    );
  }
}
