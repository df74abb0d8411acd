// @ts-nocheck
import { DEFAULT_ENTRY } from "../../boot/entry/entries.ts";
import { type EarlyLack, whyNoDeadline } from "../../boot/initramfs/clevis.ts";
import { addDracutWord, type Mending, mendingOf, programOf } from "../../boot/initramfs/mending.ts";
import { whyNoDriver } from "../../boot/initramfs/network-driver.ts";
import { whyNoTpmDriver } from "../../boot/initramfs/tpm-driver.ts";
import { type NextBoot, readNextBoot } from "../../boot/next-boot.ts";
import { type ErrorCode, isError, NightlatchError } from "../../core/errors.ts";
import { volumeOption } from "../../formats/initramfs/crypttab.ts";
import { cmdlineValues } from "../../formats/loader/kernel-cmdline.ts";
import { devicePathOf, editCrypttabLine, findOption } from "../../formats/systemd/crypttab.ts";
import { parseOsRelease } from "../../formats/systemd/os-release.ts";
import { luksBeneath, luksBeneathDevice } from "../../host/block-devices.ts";
import type { System } from "../../system/port.ts";
import type { EarlyFacts } from "../judge/facts.ts";
import { type EarlyReason, findInside, type StageFacts } from "../judge/stage.ts";

/** What is known of the initramfs that boots next, and of the way to it. */
export interface EarlyBoot {
  /** null where it cannot be told. */
  readonly next: NextBoot | null;
  readonly unknown: { readonly what: string; readonly remedy: string } | null;
  readonly mending: Mending | null;
  readonly drivers: EarlyDrivers;
  readonly beneath: StageFacts["beneath"];
}

/** Why the initramfs lacks a driver of this machine's hardware; null where it does not. */
interface EarlyDrivers {
  readonly network: EarlyLack | null;
  readonly tpm: EarlyLack | null;
}

/** What is told where nothing is known of an initramfs. */
export const NO_DRIVER_LACKS: EarlyDrivers = { network: null, tpm: null };

type Power = Pick<System, "run" | "stat" | "realPath" | "readFile" | "readFileIfPresent" | "readAt" | "listDirectory">;

const REMEDIES: Partial<Readonly<Record<ErrorCode, string>>> = {
  "boot/ambiguous": "remove the configuration of the boot loader that does not start this machine",
  "boot/not-mounted": "mount what is named there",
  "initramfs/malformed": "make the initramfs anew, by the program that makes it here",
};

/**
 * Reads what is known of the initramfs that boots next. Where it cannot be read (in a container, by
 * an ordinary user), the answer says why; none of our errors is thrown.
 * @param initramfs another file to look into; null for that of the next boot
 */
export async function readEarlyBoot(system: Power, initramfs: string | null = null): Promise<EarlyBoot> {
  const [beneath, next] = await Promise.all([
    findBeneath(system),
    orError(() => readNextBoot(system, DEFAULT_ENTRY, initramfs)),
  ]);
  const generator = next instanceof NightlatchError ? null : (next.facts?.generator ?? null);
  const mending = await findMending(system, generator);
  if (next instanceof NightlatchError) {
    const { message, code } = next;
    const unknown = { what: `${message} [${code}]`, remedy: REMEDIES[code] ?? "run it as root, with /boot mounted" };
    return { next: null, unknown, mending, drivers: NO_DRIVER_LACKS, beneath };
  }
  return { next, unknown: null, mending, drivers: await findDrivers(system, next, mending), beneath };
}

/**
 * Tells why an initramfs lacks drivers of this machine's network card and TPM. Nothing is told
 * where there is no initramfs or nobody knows how to mend it.
 * @throws NightlatchError file/*, system/*
 */
export async function findDrivers(
  system: Power,
  { facts, entry }: Pick<NextBoot, "facts" | "entry">,
  mending: Mending | null,
): Promise<EarlyDrivers> {
  if (facts === null || mending === null) return NO_DRIVER_LACKS;
  const [network, tpm] = await Promise.all([
    whyNoDriver(system, facts, entry.release, mending),
    whyNoTpmDriver(system, facts, entry.release, mending),
  ]);
  return { network, tpm };
}

/**
 * Tells how an initramfs is mended here: by what made the one that is there, else by the program
 * that would make one. Null where neither is known.
 */
export async function findMending(
  system: Pick<System, "stat" | "readFile">,
  generator: Parameters<typeof programOf>[0] | null,
): Promise<Mending | null> {
  const release = await orError(() => system.readFile("/etc/os-release", 64 * 1024));
  const osRelease = parseOsRelease(release instanceof NightlatchError ? "" : release.toString("utf8"));
  if (generator !== null) return mendingOf(programOf(generator), osRelease);
  for (const [program, generator] of PROGRAMS) {
    if ((await system.stat(program)) !== null) return mendingOf(generator, osRelease);
  }
  return null;
}

const PROGRAMS = [
  ["/usr/sbin/update-initramfs", "initramfs-tools"],
  ["/usr/bin/dracut", "dracut"],
  ["/usr/bin/mkinitcpio", "mkinitcpio"],
] as const;

/**
 * What the running root, /usr and the swap that it resumes from lie on; nothing where that cannot
 * be told.
 */
async function findBeneath(system: Power): Promise<StageFacts["beneath"]> {
  const uuids = async (find: () => Promise<string[]>): Promise<ReadonlySet<string>> => {
    const found = await orError(find);
    return new Set(found instanceof NightlatchError ? [] : found.map((uuid) => uuid.toLowerCase()));
  };
  const [root, usr, resume] = await Promise.all([
    uuids(() => luksBeneath(system, "/")),
    uuids(() => luksBeneath(system, "/usr")),
    uuids(() => beneathResume(system)),
  ]);
  return { root, usr: new Set([...usr].filter((uuid) => !root.has(uuid))), resume };
}

/** The kernel's own parameter, and initramfs-tools' configuration. */
async function beneathResume(system: Power): Promise<string[]> {
  const texts = await Promise.all(
    ["/proc/cmdline", "/etc/initramfs-tools/conf.d/resume"].map((path) =>
      orError(async () => (await system.readFile(path, 64 * 1024)).toString("latin1")),
    ),
  );
  const [cmdline, configured] = texts.map((text) => (text instanceof NightlatchError ? "" : text));
  const named = [
    ...cmdlineValues(cmdline ?? "", "resume"),
    ...(configured?.match(/^\s*RESUME=(\S+)/m)?.slice(1) ?? []),
  ];
  const devices = named
    .map((word) => devicePathOf(word.replaceAll('"', "")))
    .filter((path) => path.startsWith("/dev/"));
  return (await Promise.all(devices.map((device) => luksBeneathDevice(system, device)))).flat();
}

/**
 * Tells what is known of one volume that the initramfs opens. Null for one that the system opens.
 */
export function earlyFacts(
  reason: EarlyReason | null,
  volume: Pick<StageFacts, "entry" | "uuid">,
  { next, unknown, mending }: EarlyBoot,
  crypttab: string,
): EarlyFacts | null {
  if (reason === null) return null;
  if (next === null) return { ...reason, boot: null, unknown };
  const line = findInside(volume, next.volumes);
  const keyFile = line?.key.startsWith("/") === true && next.facts?.has(line.key) === true ? line.key : null;
  return {
    ...reason,
    boot: {
      title: next.entry.title,
      isCertain: next.entry.source !== "newest kernel",
      opensIt: next.facts?.opensLuks === true && line !== null,
      remedy: openingSteps(next, mending, volume, crypttab),
      keyscript: line === null ? null : volumeOption(line, "keyscript"),
      keyFile,
      deadline: next.facts === null || mending === null ? null : whyNoDeadline(next.facts, mending),
    },
    unknown: null,
  };
}

/**
 * What makes an initramfs open a volume. dracut takes one of crypttab that is marked, or beneath
 * the running root, where it is made for this machine alone (hostonly); where it is made for all,
 * what the command line names.
 */
function openingSteps(
  { facts, volumes }: NextBoot,
  mending: Mending | null,
  { entry, uuid }: Pick<StageFacts, "entry" | "uuid">,
  crypttab: string,
): string {
  if (mending === null) return "make the initramfs anew, by the program that makes it here";
  if (facts?.opensLuks !== true) {
    const name = mending.program === "initramfs-tools" ? "cryptsetup-initramfs" : "cryptsetup";
    return `${mending.install(name)}\n${mending.rebuild}`;
  }
  if (entry === null || mending.program === "mkinitcpio") return mending.rebuild;
  const mark = mending.program === "dracut" ? "x-initrd.attach" : "initramfs";
  if (findOption(entry, mark) === undefined) {
    return `line ${entry.line} of ${crypttab}: ${editCrypttabLine(entry, { having: [mark] })}\n${mending.rebuild}`;
  }
  const isPlain = /^[0-9a-f-]{36}$/.test(uuid ?? "") && /^[\w.-]+$/.test(entry.volume);
  if (mending.program !== "dracut" || volumes.length > 0 || !isPlain) return mending.rebuild;
  return addDracutWord(mending, `rd.luks.name=${uuid}=${entry.volume}`, `open-${entry.volume}`).remedy;
}

async function orError<T>(read: () => Promise<T>): Promise<T | NightlatchError> {
  try {
    return await read();
  } catch (error) {
    if (isError(error)) return error;
    throw error;
  }
}
