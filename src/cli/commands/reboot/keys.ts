import { tryBinding } from "../../../bindings/attempt.ts";
import { listBindings } from "../../../bindings/binding.ts";
import type { Secret } from "../../../core/secret.ts";
import { whyNotBound } from "../../../luks/bound/bound.ts";
import type { PlannedVolume } from "../../../reboot/plan/reboot-plan.ts";
import { rememberedKey } from "../../../reboot/remember.ts";
import { KeyRing, type KeySources } from "../../../reboot/stage/authority.ts";
import { readKeyFile, stateFolderOf } from "../../volume/input.ts";
import type { StagingInput } from "./options.ts";

/** What is given, and what was remembered. */
export async function knownKeys({ options, system, terminal }: StagingInput): Promise<KeyRing> {
  const remembered = await rememberedKey(system, stateFolderOf(options.state));
  const given = await readKeyFile(options["key-file"], system, terminal);
  return new KeyRing(given === null ? [] : [given], remembered);
}

/** The first binding of a volume that gives a key which opens it: a server or a chip that would open it at boot may do so now. */
export const recoverBy =
  ({ system, terminal, options }: StagingInput): KeySources["recover"] =>
  async ({ found, name }) => {
    if (found.header === null) return null;
    const wish = { stateFolder: stateFolderOf(options.state), name, trust: "first-use" } as const;
    if ((await whyNotBound(system, found.device, found.header, wish)) !== null) return null;
    for (const binding of listBindings(found.header)) {
      const attempt = await tryBinding(system, found.device, binding, terminal.signal);
      if (attempt.secret !== null) return { passphrase: attempt.secret, slot: attempt.keyslot };
    }
    return null;
  };

/** Asks for a volume's passphrase; asked once more for the same volume, it says that what was typed opened nothing. */
export function askOn({ terminal }: StagingInput): (volume: PlannedVolume) => Promise<Secret> {
  const asked = new Set<string>();
  return ({ name, found }) => {
    if (asked.has(found.device)) terminal.hint("No keyslot opens with this passphrase. Try again.");
    asked.add(found.device);
    return terminal.askSecret(`Passphrase of ${name} (${found.device}): `);
  };
}
