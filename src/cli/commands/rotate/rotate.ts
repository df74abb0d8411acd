import { listBindings } from "../../../bindings/binding.ts";
import {
  type CheckOptions,
  lookAt,
  readAround,
  type Surroundings,
  strangerEntry,
} from "../../../check/collect/facts.ts";
import { hasHeader } from "../../../check/collect/header-lines.ts";
import { isError, NightlatchError } from "../../../core/errors.ts";
import { AGENT_CONFIG, AGENT_SOCKET } from "../../../core/places.ts";
import { type CrypttabEntry, headerPathOf } from "../../../formats/systemd/crypttab.ts";
import { hearCrypttab } from "../../../formats/systemd/crypttab-heard.ts";
import { readCrypttab } from "../../../host/crypttab.ts";
import { readVolumeHeader } from "../../../luks/header/header.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../../command.ts";
import { workOnEach } from "../../volume/each.ts";
import { KEY_FILE_OPTION, STATE_OPTION, stateFolderOf } from "../../volume/input.ts";
import { Passphrases } from "../../volume/passphrases.ts";
import type { BindInput } from "../bind/options.ts";
import { findEntry } from "../crypttab/entry.ts";
import { finishVolume } from "./finish.ts";
import { rotateUnattended } from "./unattended.ts";
import { rotateVolume } from "./volume.ts";

const OPTIONS = {
  finish: { help: "remove former bindings that stand beside their successors, without waiting for a boot" },
  unattended: {
    help: "do what needs nobody, as the timer does: follow a server, and remove formers that a boot has proved",
  },
  "key-file": KEY_FILE_OPTION,
  crypttab: { value: "FILE", help: "which volumes there are", default: "/etc/crypttab" },
  fstab: { value: "FILE", help: "where they are mounted", default: "/etc/fstab" },
  state: STATE_OPTION,
} as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "rotate",
  summary: "give the bindings of a volume new keys",
  operands: "[DEV]",
  maxOperands: 1,
  options: OPTIONS,
  details: `Without DEV all volumes of crypttab that are bound. Each binding gets another keyslot with another passphrase, sealed to what the same
servers advertise now: a tang's new keys are taken where one of its former keys vouches for them, else you compare; our own server makes
another latch. The former keyslot goes once the new one was opened by what the servers released. A binding whose server fails stays as it is,
and the status is 1.

Where an initramfs opens the volume, such as the root, both stay. A former latch, or shares that do not open without it, go by themselves once
its server tells that a boot has opened by the new one; anything else once you say --finish, when the machine has come up.

Latches that an operator has rotated (nightlatch machine rotate) are followed once a day without you, by the authority of the binding that
opens the volume still: that is --unattended. A run that is cut short leaves a volume that opens as before; the next rotate, bind or unbind clears it up.`,
  run,
});

async function run(input: Input): Promise<ExitStatus> {
  const { operands, options, system, terminal } = input;
  if (options.finish && options.unattended) {
    throw new NightlatchError("usage/wrong", "rotate: --finish and --unattended exclude each other");
  }
  const checkOptions = checkOptionsOf(input);
  const around = await readAround(system, checkOptions);
  const crypttab = await readCrypttab(system, checkOptions.crypttab);
  const entries = hearCrypttab(crypttab, around.cmdline).crypttab.entries.filter((entry) =>
    hasHeader(entry, around.early),
  );
  const [device] = operands;
  const devices = device === undefined ? await listBound(input, entries) : [device];
  if (devices.length === 0) {
    terminal.line(`${checkOptions.crypttab} names no volume that is bound. See: nightlatch rotate DEV`);
    terminal.result({ ok: true, results: [] });
    return 0;
  }
  using passphrases = new Passphrases(input);
  const work = async (one: string) => {
    const isEarly = async () => {
      return isOpenedEarly(input, (await findEntry(system, one, entries)) ?? strangerEntry(one), around);
    };
    if (options.finish) return finishVolume(asBindInput(input), one, passphrases);
    if (options.unattended) return rotateUnattended(asBindInput(input), one, isEarly);
    return rotateVolume(asBindInput(input), one, { keepsFormer: await isEarly(), passphrases });
  };
  return await workOnEach(terminal, devices, work);
}

/** Volumes that cannot be read are listed too: that they cannot is told of each. */
async function listBound({ system }: Input, entries: readonly CrypttabEntry[]): Promise<readonly string[]> {
  const bound: string[] = [];
  for (const path of new Set(entries.map(headerPathOf))) {
    try {
      if (listBindings(await readVolumeHeader(system, path)).length > 0) bound.push(path);
    } catch (error) {
      if (!isError(error)) throw error;
      if (error.code !== "luks/none") bound.push(path);
    }
  }
  return bound;
}

async function isOpenedEarly(input: Input, entry: CrypttabEntry, around: Surroundings): Promise<boolean> {
  const { facts } = await lookAt(input.system, checkOptionsOf(input), entry, around);
  return facts.early !== null;
}

function checkOptionsOf({ options, terminal }: Input): CheckOptions {
  return {
    crypttab: options.crypttab,
    fstab: options.fstab,
    config: AGENT_CONFIG,
    socket: AGENT_SOCKET,
    stateFolder: stateFolderOf(options.state),
    tries: false,
    signal: terminal.signal,
  };
}

/** What `bind` would be run with: a rotation binds anew what is there. */
function asBindInput({ options, system, terminal }: Input): BindInput {
  const none = { config: undefined, thumbprint: undefined, server: undefined, slot: undefined };
  const { "key-file": keyFile, state } = options;
  return {
    operands: [],
    options: { ...none, replace: true, setup: false, "no-setup": true, "key-file": keyFile, state },
    system,
    terminal,
  };
}
