// @ts-nocheck
import { type Binding, bindingJson, formatBinding, listBindings } from "../../../bindings/binding.ts";
import { isError } from "../../../core/errors.ts";
import type { Secret } from "../../../core/secret.ts";
import { printable } from "../../../core/text.ts";
import { headerPathOf } from "../../../formats/systemd/crypttab.ts";
import { luksDevices } from "../../../host/block-devices.ts";
import { readCrypttab } from "../../../host/crypttab.ts";
import { readVolumeHeader, type VolumeHeader } from "../../../luks/header/header.ts";
import { findRememberedSlot, rememberedKey } from "../../../luks/remembered-key.ts";
import type { System } from "../../../system/port.ts";
import type { CommandInput, ExitStatus } from "../../command.ts";

/** What of bindings and remembered keys is on one volume. */
interface Remains {
  readonly device: string;
  readonly header: VolumeHeader;
  readonly bindings: readonly Binding[];
  /** The keyslot that the remembered key opens; null where there is none. */
  readonly remembered: number | null;
}

/**
 * What would stay on this machine's volumes if Nightlatch went, and how each is taken off: with it,
 * and without it. Asks no server and changes nothing. Where nothing would stay, nothing is said on
 * standard output: the package's prerm reads it.
 */
export async function listRemains(
  { system, terminal }: Pick<CommandInput, "system" | "terminal">,
  stateFolder: string,
): Promise<ExitStatus> {
  using key = await keyIfUsable(system, stateFolder);
  const found: Remains[] = [];
  const seen = await luksDevices(system).catch(nothingFor<readonly string[]>([]));
  for (const device of seen) found.push(...(await examine(system, device, key)));
  for (const device of await namedDevices(system)) {
    // crypttab mostly names what was seen already, if by another path.
    const [named] = await examine(system, device, key);
    if (named !== undefined && !found.some(({ header }) => header.uuid === named.header.uuid)) found.push(named);
  }
  const volumes = found.filter(({ bindings, remembered }) => bindings.length > 0 || remembered !== null);
  for (const line of volumes.flatMap(linesOf)) terminal.line(line);
  if (volumes.length === 0) terminal.hint("No volume of this machine has a binding or a remembered key.");
  terminal.result({
    ok: true,
    volumes: volumes.map(({ device, header, bindings, remembered }) => ({
      device,
      uuid: header.uuid,
      bindings: bindings.map(bindingJson),
      remembered,
    })),
  });
  return 0;
}

/** What crypttab names besides: image files, headers that lie elsewhere. */
async function namedDevices(system: System): Promise<readonly string[]> {
  const crypttab = await readCrypttab(system).catch(nothingFor(null));
  return crypttab?.entries.map(headerPathOf) ?? [];
}

/** Nothing for what is plain, away, or damaged: no binding of it could be removed. */
async function examine(system: System, device: string, key: Secret | null): Promise<readonly Remains[]> {
  const header = await readVolumeHeader(system, device).catch(nothingFor(null));
  if (header === null) return [];
  const bindings = listBindings(header);
  const remembered =
    key === null ? null : await findRememberedSlot(system, device, header, key).catch(nothingFor(null));
  return [{ device, header, bindings, remembered }];
}

async function keyIfUsable(system: System, stateFolder: string): Promise<Secret | null> {
  return rememberedKey(system, stateFolder).catch(nothingFor(null));
}

/** A volume that cannot be looked at keeps no other from being told of. */
function nothingFor<T>(instead: T): (error: unknown) => T {
  return (error) => {
    if (isError(error)) return instead;
    throw error;
  };
}

function linesOf({ device, header, bindings, remembered }: Remains): string[] {
  const path = printable(device);
  const kill = (slot: number) => `cryptsetup luksKillSlot ${path} ${slot}`;
  const wipe = (id: number) =>
    header.version === 1 ? `luksmeta wipe -f -d ${path} -s ${id}` : `cryptsetup token remove --token-id ${id} ${path}`;
  return [
    ...bindings.flatMap((binding) => [
      `${path} stays bound: ${formatBinding(binding)}`,
      `  To remove it: nightlatch unbind ${path} --token ${binding.token.id}`,
      `  Without Nightlatch: ${[...binding.token.keyslots.map(kill), wipe(binding.token.id)].join(" && ")}`,
    ]),
    ...(remembered === null
      ? []
      : [
          `${path} keeps the remembered key's keyslot ${remembered}`,
          "  To remove it: nightlatch reboot --forget",
          `  Without Nightlatch: ${kill(remembered)}`,
        ]),
  ];
}
