// @ts-nocheck
import { SMALL_PROGRAM_MS } from "../core/deadlines.ts";
import { isError, NightlatchError } from "../core/errors.ts";
import { REBOOT_FOLDER } from "../core/places.ts";
import { joinInitrds, paddingBeforeOverlay } from "../formats/initramfs/initramfs.ts";
import type { Lock, System } from "../system/port.ts";

type Power = Pick<System, "run" | "stat" | "readFileIfPresent" | "writeFile" | "removeFile" | "makeDirectory">;

const DISABLED = "/proc/sys/kernel/kexec_load_disabled";
const LOADED = "/sys/kernel/kexec_loaded";
const LOCKDOWN = "/sys/kernel/security/lockdown";
const FOLDER = `${REBOOT_FOLDER}/kexec`;
const INITRD = `${FOLDER}/initrd`;
const DEADLINE_MS = 120_000;

/**
 * Tells why kexec cannot be used here, in words for a person. Null where nothing speaks against it.
 * @throws NightlatchError file/*, system/*
 */
export async function whyNoKexec(system: Pick<System, "run" | "stat" | "readFileIfPresent">): Promise<string | null> {
  if ((await system.stat(LOADED)) === null) return "this kernel is built without kexec";
  const disabled = await readWord(system, DISABLED);
  if (disabled !== null && disabled !== "0")
    return "kexec is switched off until the next boot (sysctl kernel.kexec_load_disabled)";
  try {
    await system.run({ argv: ["kexec", "--version"], timeoutMs: SMALL_PROGRAM_MS });
  } catch (error) {
    if (isError(error, "system/missing-program")) return "the program kexec is not installed (package kexec-tools)";
    throw error;
  }
  return null;
}

/**
 * Under lockdown (kernel_lockdown(7)) the kernel takes an image only by file, and only with a
 * signature that it trusts.
 */
async function isLockedDown(system: Pick<System, "readFileIfPresent">): Promise<boolean> {
  const state = await readWord(system, LOCKDOWN);
  return state !== null && !state.includes("[none]");
}

async function isKexecLoaded(system: Pick<System, "readFileIfPresent">): Promise<boolean> {
  return (await readWord(system, LOADED)) === "1";
}

async function readWord(system: Pick<System, "readFileIfPresent">, path: string): Promise<string | null> {
  return (await system.readFileIfPresent(path, 4096))?.toString("latin1").trim() ?? null;
}

interface KexecImage {
  readonly kernel: Buffer;
  readonly initrds: readonly Buffer[];
  /** Holds keys. */
  readonly overlay: Buffer;
  readonly cmdline: string;
}

/**
 * Loads a kernel for the next reboot. The initramfs with its keys passes through a ramfs, which is
 * never swapped, and is overwritten there; the kernel keeps the only copy. Loading by file comes
 * first, for it is what lockdown allows.
 * @param lock held by the program that loads, too: if this process is killed, whoever undoes its
 * work waits until that program has ended
 * @throws NightlatchError kexec/failed; nothing is loaded then
 */
export async function loadKexec(system: Power, image: KexecImage, lock?: Lock): Promise<void> {
  await clearKexecMemory(system);
  await system.makeDirectory(FOLDER, 0o700);
  await must(system, ["mount", "-t", "ramfs", "-o", "mode=0700", "nightlatch", FOLDER]);
  const kernel = `${FOLDER}/kernel`;
  try {
    const base = joinInitrds(image.initrds);
    const whole = Buffer.concat([base, paddingBeforeOverlay(base.length), image.overlay]);
    try {
      await system.writeFile(kernel, image.kernel, 0o600);
      await system.writeFile(INITRD, whole, 0o600);
    } finally {
      whole.fill(0);
    }
    await load(system, [kernel, `--initrd=${INITRD}`, `--command-line=${image.cmdline}`], lock);
  } finally {
    await clearKexecMemory(system);
  }
  if (!(await isKexecLoaded(system))) {
    throw new NightlatchError("kexec/failed", "kexec ended well, and the kernel has no image loaded", {
      meaning: NOTHING_LOADED,
    });
  }
}

/**
 * Overwrites and frees the memory that an image passed through, also that of a run that was killed.
 * @throws NightlatchError kexec/failed, system/*
 */
export async function clearKexecMemory(system: Pick<System, "run" | "stat">): Promise<void> {
  if ((await system.stat(INITRD)) !== null) {
    await system.run({ argv: ["shred", "--iterations=0", "--zero", INITRD], timeoutMs: DEADLINE_MS });
  }
  const { status } = await system.run({ argv: ["mountpoint", "--quiet", FOLDER], timeoutMs: SMALL_PROGRAM_MS });
  if (status === 0) await must(system, ["umount", FOLDER]);
}

const NOTHING_LOADED = "No kernel is loaded: a reboot now is an ordinary one.";

async function load(system: Power, args: readonly string[], lock: Lock | undefined): Promise<void> {
  const held = { timeoutMs: DEADLINE_MS, ...(lock === undefined ? {} : { lock }) };
  const byFile = await system.run({ argv: ["kexec", "-s", "-l", ...args], ...held });
  if (byFile.status === 0) return;
  const locked = await isLockedDown(system);
  if (!locked && (await system.run({ argv: ["kexec", "-c", "-l", ...args], ...held })).status === 0) return;
  const said = byFile.stderr.toString("utf8").trim().split("\n").at(-1)?.slice(0, 200) ?? "";
  throw new NightlatchError(
    "kexec/failed",
    `the kernel of the next boot could not be loaded: ${said || `status ${byFile.status}`}`,
    {
      meaning: NOTHING_LOADED,
      remedy: locked
        ? "The system is locked down (Secure Boot): only a kernel that is signed with a key it trusts can be loaded."
        : "See: dmesg | tail, and whether the kernel image is whole.",
    },
  );
}

/**
 * Takes the loaded image out of the kernel again. Nothing is done where there is none.
 * @throws NightlatchError kexec/failed where it stays
 */
export async function unloadKexec(system: Pick<System, "run" | "readFileIfPresent">): Promise<void> {
  if (!(await isKexecLoaded(system))) return;
  for (const how of ["-s", "-c"]) {
    await system.run({ argv: ["kexec", how, "-u"], timeoutMs: DEADLINE_MS });
    if (!(await isKexecLoaded(system))) return;
  }
  throw new NightlatchError("kexec/failed", "the loaded kernel could not be unloaded", {
    meaning: "A reboot now starts that kernel; its disposable keys open nothing once the slots are gone.",
    remedy: "Try: kexec -u",
  });
}

async function must(system: Pick<System, "run">, argv: readonly [string, ...string[]]): Promise<void> {
  const { status, stderr } = await system.run({ argv, timeoutMs: SMALL_PROGRAM_MS });
  if (status === 0) return;
  const said = stderr.toString("utf8").trim().slice(0, 200);
  throw new NightlatchError("kexec/failed", `${argv[0]} ended with status ${status}: ${said}`, {
    meaning: NOTHING_LOADED,
  });
}
