import type { EntryWish } from "../boot/entries.ts";
import { whyNoKexec } from "../boot/kexec.ts";
import { NightlatchError } from "../core/errors.ts";
import { Secret } from "../core/secret.ts";
import { findAuthorities } from "../reboot/authority.ts";
import { bootId, cleanUp } from "../reboot/clean-up.ts";
import { requireCleanUp, restartExpiry, startKexec, startSoftReboot } from "../reboot/go.ts";
import { planReboot } from "../reboot/plan.ts";
import type { PlannedVolume } from "../reboot/planned.ts";
import { stageKexec } from "../reboot/stage.ts";
import type { Command, CommandInput, ExitStatus } from "./command.ts";
import { describePlan, planLines } from "./reboot-report.ts";

const KEY_LIMIT_BYTES = 8 * 1024 * 1024; // cryptsetup's own limit for a key file
const LIFE_SECONDS = 15 * 60;

export const command: Command = {
  name: "reboot",
  summary: "Reboot into the next kernel without anybody typing a passphrase.",
  maxOperands: 0,
  options: [
    {
      name: "via",
      value: "WAY",
      help: "kexec; soft, which keeps the running kernel; or auto, which is kexec",
      default: "auto",
    },
    { name: "dry-run", help: "stage everything, say what would happen, take it all back" },
    { name: "cancel", help: "take back what is staged" },
    { name: "clean-up", help: "remove what an earlier boot staged, or what has expired; for the boot and the timer" },
    { name: "key-file", value: "FILE", help: "what opens the volumes, instead of asking; - is standard input" },
    {
      name: "entry",
      value: "ID",
      help: "another boot entry than the one that would boot, by the boot loader's name for it",
    },
    { name: "kernel", value: "FILE", help: "this kernel, whatever the boot loader has" },
    { name: "initrd", value: "FILE,…", help: "initramfs of --kernel" },
    { name: "cmdline", value: "TEXT", help: "kernel command line, instead of the entry's" },
    {
      name: "state",
      value: "DIR",
      help: "where records of LUKS1 volumes are kept",
      default: "/var/lib/nightlatch",
    },
  ],
  details: [
    "Each LUKS volume that the next boot has to open gets one more keyslot with a random key, which goes to the new kernel in memory",
    "alone. After the boot the slot is removed. Whatever fails ends at the passphrase prompt, which every volume keeps.",
    "The passphrase is asked once where all volumes share it.",
  ].join("\n"),
  run,
};

async function run(input: CommandInput): Promise<ExitStatus> {
  const { switches, options } = input;
  const actions = ["dry-run", "cancel", "clean-up"].filter((name) => switches.has(name));
  if (actions.length > 1)
    throw new NightlatchError("usage/wrong", `reboot: --${actions.join(" and --")} exclude each other`);
  if (switches.has("cancel") || switches.has("clean-up")) return takeBack(input, switches.has("cancel"));
  switch (options["via"]) {
    case "soft":
      return softReboot(input);
    case "auto":
    case "kexec":
      return kexecReboot(input);
    default:
      throw new NightlatchError("usage/wrong", `reboot: there is no way ${JSON.stringify(options["via"])}`, {
        remedy: "See: nightlatch reboot --help",
      });
  }
}

async function takeBack({ system, terminal, options }: CommandInput, all: boolean): Promise<ExitStatus> {
  const { removed, failures } = await cleanUp(system, String(options["state"]), all);
  for (const { device, record } of removed) terminal.line(`${device}: disposable key of slot ${record.slot} removed`);
  if (removed.length === 0 && failures.length === 0) terminal.line("Nothing was staged.");
  terminal.result({
    ok: failures.length === 0,
    removed: removed.map(({ device, record }) => ({ device, slot: record.slot })),
    failures: failures.map(({ code, message }) => ({ code, message })),
  });
  for (const failure of failures)
    terminal.hint([failure.message, failure.meaning, failure.remedy].filter(Boolean).join("\n  "));
  return failures.length === 0 ? 0 : 1;
}

async function softReboot({ system, terminal, switches }: CommandInput): Promise<ExitStatus> {
  terminal.line("  via         soft reboot: user space anew, the running kernel and the open volumes stay");
  const dryRun = switches.has("dry-run");
  terminal.result({ ok: true, via: "soft", dryRun });
  if (!dryRun) await startSoftReboot(system);
  return 0;
}

async function kexecReboot(input: CommandInput): Promise<ExitStatus> {
  const { system, terminal, switches, options } = input;
  const dryRun = switches.has("dry-run");
  const stateFolder = String(options["state"]);
  const obstacle = await whyNoKexec(system);
  if (obstacle !== null) throw noKexec(obstacle);
  await requireCleanUp(system);
  await cleanUp(system, stateFolder, true);
  const plan = await planReboot(system, wishOf(options));
  const keys: Secret[] = [];
  try {
    keys.push(...(await givenKeys(input)));
    const ask = options["key-file"] === undefined ? askOn(input) : null;
    const authorities = await findAuthorities(system, plan.volumes, keys, ask);
    for (const { passphrase } of authorities.values()) if (!keys.includes(passphrase)) keys.push(passphrase);
    const startedMs = system.monotonicMs();
    const context = {
      stateFolder,
      bootId: await bootId(system),
      expires: Math.floor(system.nowMs() / 1000) + LIFE_SECONDS,
    };
    await restartExpiry(system);
    const staged = await stageKexec(system, plan, authorities, context, (step) => terminal.hint(`… ${step}`));
    const stagingMs = Math.round(system.monotonicMs() - startedMs);
    for (const line of planLines(plan, staged)) terminal.line(line);
    terminal.result({ ok: true, dryRun, stagingMs, ...describePlan(plan, staged) });
    if (dryRun) await cleanUp(system, stateFolder, true);
    else await go(input, stateFolder);
    return 0;
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
      "Where no new kernel waits, nightlatch reboot --via soft keeps the volumes open; otherwise reboot and type the passphrase.",
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

async function givenKeys({ system, terminal, options }: CommandInput): Promise<Secret[]> {
  const path = options["key-file"];
  if (path === undefined) return [];
  if (path === "-") return [await terminal.readInput(KEY_LIMIT_BYTES)];
  return [Secret.take(await system.readFile(path, KEY_LIMIT_BYTES))];
}

const askOn =
  ({ terminal }: CommandInput) =>
  (volume: PlannedVolume): Promise<Secret> =>
    terminal.askSecret(`Passphrase of ${volume.name} (${volume.found.device}): `);
