// @ts-nocheck
import { splitCmdline } from "../loader/kernel-cmdline.ts";

/** What the command line says of one UUID. */
interface NamedDisk {
  name: string;
  options: string[] | null;
  /** To be opened whether crypttab has it or not. */
  isListed: boolean;
}

/** What the luks and rd.luks words of a command line say, read in their order. */
export interface LuksWords {
  /** Whether the command line leaves systemd anything to open. */
  isEnabled: boolean;
  readsCrypttab: boolean;
  defaultOptions: string[];
  readonly disks: Map<string, NamedDisk>;
}

/** `UUID=VALUE`, as its sscanf() takes it. */
export const UUID_VALUE = /^([0-9a-fA-F-]+)=(\S+)$/;

/**
 * Reads what a kernel command line says to systemd-cryptsetup-generator(8). `rd.` is heard in an
 * initramfs alone.
 */
export function readLuksWords(cmdline: string, inInitramfs: boolean): LuksWords {
  const words: LuksWords = { isEnabled: true, readsCrypttab: true, defaultOptions: [], disks: new Map() };
  const disk = (uuid: string): NamedDisk => {
    const there = words.disks.get(uuid) ?? { name: `luks-${uuid}`, options: null, isListed: false };
    words.disks.set(uuid, there);
    return there;
  };
  for (const word of splitCmdline(cmdline)) {
    const value = (name: string) => wordValue(word, name, inInitramfs);
    const pair = (name: string) => UUID_VALUE.exec(value(name) ?? "");
    words.isEnabled = booleanOf(value("luks")) ?? words.isEnabled;
    words.readsCrypttab = booleanOf(value("luks.crypttab")) ?? words.readsCrypttab;
    const listed = value("luks.uuid");
    if (listed) disk(listed.replace(/^luks-/, "")).isListed = true;
    const [, named, name] = pair("luks.name") ?? [];
    if (named !== undefined && name !== undefined) Object.assign(disk(named), { name, isListed: true });
    for (const other of ["luks.key", "luks.data"]) {
      const [, uuid] = pair(other) ?? [];
      if (uuid !== undefined) disk(uuid);
    }
    const [, owner, own] = pair("luks.options") ?? [];
    if (owner !== undefined && own !== undefined) disk(owner).options = listOf(own);
    else if (value("luks.options")) words.defaultOptions = listOf(value("luks.options") ?? "");
  }
  return words;
}

/**
 * Reads the value of `NAME=VALUE`, and in an initramfs of `rd.NAME=VALUE`: "" of a bare name, null
 * of another word.
 */
export function wordValue(word: string, name: string, inInitramfs: boolean): string | null {
  const plain = word.replaceAll('"', "");
  const bare = inInitramfs ? plain.replace(/^rd\./, "") : plain;
  if (bare === name) return "";
  return bare.startsWith(`${name}=`) ? bare.slice(name.length + 1) : null;
}

/** parse_boolean() of systemd; null for what it does not take, which leaves all as it was. */
function booleanOf(value: string | null): boolean | null {
  if (value === null) return null;
  if (/^(?:|1|yes|y|true|t|on)$/i.test(value)) return true;
  return /^(?:0|no|n|false|f|off)$/i.test(value) ? false : null;
}

const listOf = (text: string): string[] => text.split(",").filter((option) => option !== "");
