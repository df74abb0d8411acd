// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";

/** A label of extlinux.conf (syslinux's configuration; U-Boot's "distro boot" reads the same). */
interface ExtlinuxEntry {
  readonly label: string;
  readonly title: string;
  readonly kernel: string;
  readonly initrds: readonly string[];
  readonly options: string;
}

interface ExtlinuxMenu {
  readonly entries: readonly ExtlinuxEntry[];
  /**
   * `default`, or `ontimeout` where it differs; "" where neither is given, so that the first label
   * boots.
   */
  readonly default: string;
}

const MAX_BYTES = 256 * 1024;

/**
 * Reads a menu. Keywords may be in any case. An `append` before the first label holds for all that
 * have none.
 * @throws NightlatchError extlinux/malformed
 */
export function parseExtlinux(text: string): ExtlinuxMenu {
  if (text.length > MAX_BYTES) throw malformed(`is larger than ${MAX_BYTES} bytes`);
  const sections: Map<string, string>[] = [new Map()];
  for (const line of text.split(/\r?\n/)) {
    const [, keyword, value] = /^([A-Za-z]\w*)(?:\s+(.*))?$/.exec(line.trim()) ?? [];
    if (keyword === undefined) continue;
    const key = keyword.toLowerCase();
    if (key === "include") throw malformed("includes another file, which is not followed");
    if (key === "label") sections.push(new Map([["label", value ?? ""]]));
    else setKeyword(sections.at(-1) ?? new Map(), key, value ?? "");
  }
  const [common, ...labels] = sections;
  return {
    entries: labels.map((label) => entryOf(label, common?.get("append") ?? "")),
    default: common?.get("ontimeout") ?? common?.get("default") ?? "",
  };
}

function setKeyword(section: Map<string, string>, key: string, value: string): void {
  if (key !== "menu") section.set(key, value);
  else if (/^label\s/i.test(value)) section.set("title", value.replace(/^label\s+/i, "").replace("^", ""));
}

function entryOf(section: ReadonlyMap<string, string>, commonAppend: string): ExtlinuxEntry {
  const label = section.get("label") ?? "";
  const append = section.get("append") ?? commonAppend;
  const words = (append === "-" ? "" : append).split(/\s+/).filter((word) => word !== "");
  const kernel = section.get("linux") ?? section.get("kernel") ?? "";
  const named =
    section.get("initrd") ?? words.findLast((word) => word.startsWith("initrd="))?.slice("initrd=".length) ?? "";
  return {
    label,
    title: section.get("title") ?? label,
    kernel,
    initrds: named.split(",").filter((initrd) => initrd !== ""),
    options: words.filter((word) => !word.startsWith("initrd=")).join(" "),
  };
}

/** Finds the entry that boots when nobody touches the menu. Null where `default` names none. */
export function defaultExtlinuxEntry(menu: ExtlinuxMenu): ExtlinuxEntry | null {
  if (menu.default === "") return menu.entries[0] ?? null;
  return menu.entries.find((entry) => entry.label === menu.default) ?? null;
}

function malformed(how: string): NightlatchError {
  return new NightlatchError("extlinux/malformed", `extlinux.conf ${how}`);
}
