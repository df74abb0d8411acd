import type { EntryWish } from "../boot/entries.ts";
import { whyNoKexec } from "../boot/kexec.ts";
import { NightlatchError } from "../core/errors.ts";
import { Secret } from "../core/secret.ts";
import { findAuthorities } from "../reboot/authority.ts";
import { bootId, cleanUp } from "../reboot/clean-up.ts";
import type { Authority } from "../reboot/disposable.ts";
import { requireCleanUp, restartExpiry, startKexec } from "../reboot/go.ts";
import { planReboot } from "../reboot/plan.ts";
import type { PlannedVolume, RebootPlan } from "../reboot/planned.ts";
import { rememberedKey } from "../reboot/remember.ts";
import { type Staged, stageKexec } from "../reboot/stage.ts";
import { tryBinding } from "./attempt.ts";
import { listBindings } from "./binding.ts";
import type { CommandInput, ExitStatus } from "./command.ts";
import { settleSockets } from "./proof-later.ts";
import { describePlan, initramfsText, planLines } from "./reboot-report.ts";

const KEY_LIMIT_BYTES = 8 * 1024 * 1024; // cryptsetup's own limit for a key file
const LIFE_SECONDS = 15 * 60;

export async function kexecReboot(input: CommandInput): Promise<ExitStatus> {
  return goByKexec(input, await stageByKexec(input));
}

/** @throws NightlatchError where a kexec would not come back by itself, or is not to be had; nothing is staged then */
export async function stageByKexec(input: CommandInput): Promise<Prepared> {
  const { system, options } = input;
  const ask = options["key-file"] === undefined ? askOn(input) : null;
  return prepare(input, wishOf(options), ask, () => restartExpiry(system));
}

export async function goByKexec(input: CommandInput, { plan, staged, stagingMs }: Prepared): Promise<ExitStatus> {
  const { system, terminal, switches, options } = input;
  const dryRun = switches.has("dry-run");
  const stateFolder = String(options["state"]);
  const via = `kexec${initramfsText(plan)} + ${staged.overlayBytes} bytes, no key on any disk`;
  for (const line of planLines(plan, via)) terminal.line(line);
  terminal.result({ ok: true, via: "kexec", dryRun, stagingMs, ...describePlan(plan, staged.overlayBytes) });
  if (dryRun) await cleanUp(system, stateFolder, true);
  else await go(input, stateFolder);
  return 0;
}

export interface Prepared {
  readonly plan: RebootPlan;
  readonly staged: Staged;
  readonly stagingMs: number;
}

/**
 * @param ask null where nobody can be asked
 * @param beforeStaging the last thing before headers are changed
 */
export async function prepare(
  input: CommandInput,
  wish: EntryWish,
  ask: ((volume: PlannedVolume) => Promise<Secret>) | null,
  beforeStaging: () => Promise<void>,
): Promise<Prepared> {
  const { system, terminal, options } = input;
  const stateFolder = String(options["state"]);
  const obstacle = await whyNoKexec(system);
  if (obstacle !== null) throw noKexec(obstacle);
  await requireCleanUp(system);
  await cleanUp(system, stateFolder, true);
  const plan = await settleSockets(system, await planReboot(system, wish), { stateFolder, signal: terminal.signal });
  const keys = await knownKeys(input);
  try {
    const authorities = await findAuthorities(system, plan.volumes, keys, recoverBy(input), ask);
    const startedMs = system.monotonicMs();
    const expires = Math.floor(system.nowMs() / 1000) + LIFE_SECONDS;
    await beforeStaging();
    const context = { stateFolder, bootId: await bootId(system), expires };
    const staged = await stageKexec(system, plan, authorities, context, (step) => terminal.hint(`… ${step}`));
    return { plan, staged, stagingMs: Math.round(system.monotonicMs() - startedMs) };
  } finally {
    for (const key of keys) key.wipe();
  }
}

/** A shutdown that does not begin leaves nothing staged. */
async function go({ system, terminal }: CommandInput, stateFolder: string): Promise<void> {
  try {
    if (terminal.signal.aborted) throw new NightlatchError("usage/cancelled", "cancelled");
    await startKexec(system);
  } catch (error) {
    await cleanUp(system, stateFolder, true);
    throw error;
  }
}

function noKexec(obstacle: string): NightlatchError {
  return new NightlatchError("kexec/unavailable", `kexec cannot be used: ${obstacle}`, {
    meaning: "Nothing was changed.",
    remedy:
      "Where every volume opens by itself: --via bindings. Where no new kernel waits: --via soft, which keeps the volumes open. Otherwise " +
      "reboot and type the passphrase.",
  });
}

function wishOf(options: CommandInput["options"]): EntryWish {
  return {
    entry: options["entry"] ?? null,
    kernel: options["kernel"] ?? null,
    initrds: (options["initrd"] ?? "").split(",").filter((path) => path !== ""),
    cmdline: options["cmdline"] ?? null,
  };
}

/** What `--key-file` names, or null where it is not given. */
export async function givenKey({ system, terminal, options }: CommandInput): Promise<Secret | null> {
  const path = options["key-file"];
  if (path === undefined) return null;
  if (path === "-") return terminal.readInput(KEY_LIMIT_BYTES);
  return Secret.take(await system.readFile(path, KEY_LIMIT_BYTES));
}

/** What is given, and what was remembered. The caller wipes them, and what is added to them. */
export async function knownKeys(input: CommandInput): Promise<Secret[]> {
  const remembered = await rememberedKey(input.system, String(input.options["state"]));
  return [await givenKey(input), remembered].filter((key) => key !== null);
}

/** The first binding of a volume that gives a key which opens it: a server or a chip that would open it at boot may do so now. */
export const recoverBy =
  ({ system, terminal }: CommandInput) =>
  async ({ found }: PlannedVolume): Promise<Authority | null> => {
    for (const binding of found.header === null ? [] : listBindings(found.header)) {
      const attempt = await tryBinding(system, found.device, binding, terminal.signal);
      if (attempt.secret !== null) return { passphrase: attempt.secret, slot: attempt.keyslot };
    }
    return null;
  };

export const askOn =
  ({ terminal }: CommandInput) =>
  (volume: PlannedVolume): Promise<Secret> =>
    terminal.askSecret(`Passphrase of ${volume.name} (${volume.found.device}): `);
