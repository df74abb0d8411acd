// @ts-nocheck
import { SMALL_PROGRAM_MS } from "../../../core/deadlines.ts";
import { NightlatchError } from "../../../core/errors.ts";
import type { JsonObject } from "../../../formats/json/json.ts";
import {
  defaultInBootctlText,
  parseBootctlList,
  tellsNoDefault,
  typeOfBootctlRow,
} from "../../../formats/loader/bootctl-list.ts";
import type { System } from "../../../system/port.ts";

/** An entry as `bootctl list --json` tells it. */
export interface SystemdBootEntry {
  readonly type: "type1" | "type2";
  readonly id: string;
  readonly title: string;
  /** The entry's own file: an image for type 2. */
  readonly path: string;
  /** Where the file system that its paths start from is mounted. */
  readonly root: string;
  /** A kernel, or for type 1 a unified image or another EFI program. */
  readonly linux: string;
  readonly initrds: readonly string[];
  readonly options: string;
  /** Of a unified image. */
  readonly profile: number;
  /** Whether it is what boots next: the one-time choice where there is one, else the default. */
  readonly isDefault: boolean;
}

const LOADER_INFO = "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const STUB_INFO = "/sys/firmware/efi/efivars/StubInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const ONE_SHOT = "/sys/firmware/efi/efivars/LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const OUTPUT_LIMIT_BYTES = 1 << 20;

/**
 * Whether systemd-boot started this system. It says so in an EFI variable
 * (systemd.io/BOOT_LOADER_INTERFACE).
 * @throws NightlatchError file/*
 */
export async function startedBySystemdBoot(system: Pick<System, "stat" | "readFile">): Promise<boolean> {
  if ((await system.stat(LOADER_INFO)) === null) return false;
  const value = await system.readFile(LOADER_INFO, 4096);
  // Four bytes of attributes, then UTF-16.
  return value.subarray(4).toString("utf16le").startsWith("systemd-boot");
}

/** Whether this system was held in a unified kernel image. Its stub says so in an EFI variable. */
export async function startedByStub(system: Pick<System, "stat">): Promise<boolean> {
  return (await system.stat(STUB_INFO)) !== null;
}

/** Whether an entry is set for the next boot alone. */
export async function hasOneShot(system: Pick<System, "stat">): Promise<boolean> {
  return (await system.stat(ONE_SHOT)) !== null;
}

/**
 * Reads the id of the entry that is set for the next boot alone. Null where none is.
 * @throws NightlatchError file/*
 */
export async function oneShotOf(system: Pick<System, "readFileIfPresent">): Promise<string | null> {
  const value = (await system.readFileIfPresent(ONE_SHOT, 4096))?.subarray(4).toString("utf16le");
  return value?.replace(/\0.*$/s, "") || null;
}

/**
 * Finds the entry that systemd-boot will take, or the one of that id. Null where there is none. How
 * systemd-boot comes to its default (one-shot, default variable, loader.conf, sort keys, boot
 * counters) is left to bootctl, which shares its code.
 * @throws NightlatchError boot/unsupported, json/malformed, system/*
 */
export async function systemdBootEntry(
  system: Pick<System, "run">,
  id: string | null,
): Promise<SystemdBootEntry | null> {
  const rows = parseBootctlList(await bootctlList(system, ["--json=short"]));
  const marked = rows.find((one) => one["isDefault"] === true)?.["id"] ?? null;
  const defaultId = tellsNoDefault(rows) ? await defaultOfText(system) : marked;
  const wanted = id ?? defaultId;
  const row = rows.find((one) => wanted !== null && one["id"] === wanted);
  return row === undefined ? null : entryOf(row, row["id"] === defaultId);
}

const defaultOfText = async (system: Pick<System, "run">): Promise<string | null> =>
  defaultInBootctlText((await bootctlList(system, [])).toString("utf8"));

/** @throws NightlatchError boot/unsupported */
async function bootctlList(system: Pick<System, "run">, options: readonly string[]): Promise<Buffer> {
  const argv = ["bootctl", "list", ...options, "--no-pager"] as const;
  const { status, stdout, stderr } = await system.run({
    argv,
    timeoutMs: SMALL_PROGRAM_MS,
    outputLimitBytes: OUTPUT_LIMIT_BYTES,
  });
  if (status === 0) return stdout;
  const said = stderr.toString("utf8").trim().split("\n").at(-1)?.slice(0, 200) ?? "";
  throw new NightlatchError("boot/unsupported", `bootctl list ended with status ${status}: ${said}`);
}

function entryOf(row: JsonObject, isDefault: boolean): SystemdBootEntry {
  const text = (name: string) => (typeof row[name] === "string" ? row[name] : "");
  const list = (name: string) => (Array.isArray(row[name]) ? row[name].filter((item) => typeof item === "string") : []);
  const type = typeOfBootctlRow(row);
  const linux = text("linux") || text("uki") || text("efi");
  if ((type !== "type1" && type !== "type2") || (type === "type1" && linux === "")) {
    throw new NightlatchError(
      "boot/unsupported",
      `systemd-boot's entry ${JSON.stringify(text("id"))} boots no Linux that can be read`,
      {
        meaning: "Nothing was changed.",
        remedy: "Name another entry with --entry ID; see: bootctl list",
      },
    );
  }
  return {
    type,
    id: text("id"),
    title: text("showTitle") || text("title") || text("id"),
    path: text("path"),
    root: text("root"),
    linux,
    initrds: list("initrd"),
    options: text("options"),
    profile: typeof row["profile"] === "number" ? row["profile"] : 0,
    isDefault,
  };
}
