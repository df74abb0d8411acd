// @ts-nocheck
import { asInt, readNumber } from "./number.ts";
import type { GrubEntry, GrubMenu } from "./world.ts";

/** The entry that boots when nobody chooses. */
export interface GrubChoice {
  readonly entry: GrubEntry;
  /** Ids from the outermost submenu to the entry, as `grub-reboot` takes them, joined by ">". */
  readonly path: string;
  /**
   * False where `default` names an entry that is not there, so that GRUB falls back to the first.
   */
  readonly asNamed: boolean;
}

/** Who reads a choice: either GRUB, or we for a person, whose "6.1" is no 6. */
type ChoiceRules = "gnu" | "fedora" | "person";

/**
 * Chooses the entry that GRUB boots with `selector` as its `default` when nobody touches the menu
 * (grub-core/normal/menu.c). A selector is a number, an id or a title; a ">" leads into a submenu
 * (a ">" in a title is doubled); and whatever is not found is the first entry. The menu's own is
 * `menu.default`. Null for an empty menu, also within a submenu.
 * @throws NightlatchError grub/unknown, grub/malformed from the submenus on the way
 */
export function choose(menu: GrubMenu, selector: string, rules?: ChoiceRules): GrubChoice | null {
  return chooseWithin(menu, selector, rules, 0);
}

const MAX_DEPTH = 32;

function chooseWithin(
  menu: GrubMenu,
  selector: string,
  rules: ChoiceRules | undefined,
  depth: number,
): GrubChoice | null {
  const { head, rest } = splitSelector(selector);
  const found = find(menu, selector, head, rules ?? menu.rules ?? "gnu");
  const entry = found ?? menu.entries[0];
  if (entry === undefined || depth > MAX_DEPTH) return null;
  const isNamed = found !== undefined || selector === "";
  // GRUB hands on what stands behind the ">", also where it did not find what stands before.
  const submenu = entry.enter(rest);
  if (submenu === null) return { entry, path: escapePath(entry.id), asNamed: isNamed && rest === "" };
  const inner = chooseWithin(submenu, submenu.default, rules, depth + 1);
  if (inner === null) return null;
  const isAll = isNamed && inner.asNamed && (rest === "" || submenu.default === rest);
  return { entry: inner.entry, path: `${escapePath(entry.id)}>${inner.path}`, asNamed: isAll };
}

function find(menu: GrubMenu, selector: string, head: string, rules: ChoiceRules): GrubEntry | undefined {
  const { entries, bits = 64 } = menu;
  if (rules === "fedora") return findAsFedora(menu, selector, head);
  if (rules === "gnu" || /^\d+$/.test(head)) {
    const { value, error } = readNumber(selector, 0, bits);
    if (error !== "no number") return error === "none" ? entries[asInt(value)] : undefined;
  }
  return entries.find((entry) => entry.title === head || entry.id === head);
}

/** Ids first, then titles, then a number with nothing behind it (Fedora's normal/menu.c). */
function findAsFedora({ entries, bits = 64 }: GrubMenu, selector: string, head: string): GrubEntry | undefined {
  const word = /^[^ \t\r\n]*/.exec(selector)?.[0] ?? "";
  const id = splitSelector(word).head;
  const byId = entries.find((entry) => entry.id !== "" && entry.id === id);
  if (byId !== undefined) return word === selector ? byId : undefined;
  const byTitle = entries.find((entry) => entry.title !== "" && entry.title === head);
  if (byTitle !== undefined) return byTitle;
  const { value, end, error } = readNumber(selector, 0, bits);
  return error === "none" && end === selector.length ? entries[asInt(value)] : undefined;
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
