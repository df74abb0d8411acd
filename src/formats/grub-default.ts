import type { GrubEntry, GrubMenu } from "./grub-world.ts";

export interface GrubChoice {
  readonly entry: GrubEntry;
  /** Ids from the outermost submenu to the entry, as `grub-reboot` takes them, joined by ">". */
  readonly path: string;
  /** False where `default` names an entry that is not there, so that GRUB falls back to the first. */
  readonly asNamed: boolean;
}

/**
 * The entry that GRUB boots when nobody touches the menu (grub-core/normal/menu.c): `default` is a number, an id or a title, a
 * ">" leads into a submenu (a ">" in a title is doubled), and whatever is not found is the first entry. Null for an empty menu,
 * also within a submenu.
 */
export function defaultGrubEntry(menu: GrubMenu): GrubChoice | null {
  return choose(menu, menu.default);
}

/** @see defaultGrubEntry, with another value than the menu's own. */
export function choose(menu: GrubMenu, selector: string): GrubChoice | null {
  const { head, rest } = splitSelector(selector);
  const found = findEntry(menu.entries, head);
  const entry = found ?? menu.entries[0];
  if (entry === undefined) return null;
  const asNamed = found !== undefined || selector === "";
  if (entry.submenu === null) return { entry, path: escapePath(entry.id), asNamed: asNamed && rest === "" };
  const inner = choose(entry.submenu, found === undefined ? "" : rest);
  if (inner === null) return null;
  return { entry: inner.entry, path: `${escapePath(entry.id)}>${inner.path}`, asNamed: asNamed && inner.asNamed };
}

function findEntry(entries: readonly GrubEntry[], head: string): GrubEntry | undefined {
  if (/^\d+$/.test(head)) return entries[Number(head)];
  return entries.find((entry) => entry.id === head || entry.title === head);
}

function splitSelector(selector: string): { head: string; rest: string } {
  let head = "";
  for (let at = 0; at < selector.length; at++) {
    if (selector[at] !== ">") head += selector[at];
    else if (selector[at + 1] === ">") {
      head += ">";
      at++;
    } else return { head, rest: selector.slice(at + 1) };
  }
  return { head, rest: "" };
}

const escapePath = (id: string): string => id.replaceAll(">", ">>");
