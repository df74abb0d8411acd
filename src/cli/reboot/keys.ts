import { Secret } from "../../core/secret.ts";
import { whyNotBound } from "../../luks/bound.ts";
import { KeyRing, type KeySources } from "../../reboot/authority.ts";
import type { PlannedVolume } from "../../reboot/planned.ts";
import { rememberedKey } from "../../reboot/remember.ts";
import { tryBinding } from "../attempt.ts";
import { listBindings } from "../binding.ts";
import type { CommandInput } from "../command.ts";
import { stateFolderOf } from "../volume-input.ts";

const KEY_LIMIT_BYTES = 8 * 1024 * 1024; // cryptsetup's own limit for a key file

/** What `--key-file` names, or null where it is not given. */
export async function givenKey({ system, terminal, options }: CommandInput): Promise<Secret | null> {
  const path = options["key-file"];
  if (path === undefined) return null;
  if (path === "-") return terminal.readInput(KEY_LIMIT_BYTES);
  return Secret.take(await system.readFile(path, KEY_LIMIT_BYTES));
}

/** What is given, and what was remembered. */
export async function knownKeys(input: CommandInput): Promise<KeyRing> {
  const remembered = await rememberedKey(input.system, String(input.options["state"]));
  const given = await givenKey(input);
  return new KeyRing(given === null ? [] : [given], remembered);
}

/** The first binding of a volume that gives a key which opens it: a server or a chip that would open it at boot may do so now. */
export const recoverBy =
  ({ system, terminal, options }: CommandInput): KeySources["recover"] =>
  async ({ found, name }) => {
    if (found.header === null) return null;
    const wish = { stateFolder: stateFolderOf(options), name, trust: "first-use" } as const;
    if ((await whyNotBound(system, found.device, found.header, wish)) !== null) return null;
    for (const binding of listBindings(found.header)) {
      const attempt = await tryBinding(system, found.device, binding, terminal.signal);
      if (attempt.secret !== null) return { passphrase: attempt.secret, slot: attempt.keyslot };
    }
    return null;
  };

export const askOn =
  ({ terminal }: CommandInput) =>
  (volume: PlannedVolume): Promise<Secret> =>
    terminal.askSecret(`Passphrase of ${volume.name} (${volume.found.device}): `);
