// @ts-nocheck
import { choose, type GrubChoice } from "../../../src/formats/grub/default-entry.ts";
import { runGrub } from "../../../src/formats/grub/menu.ts";
import type { GrubMenu, GrubWorld } from "../../../src/formats/grub/world.ts";

/** The menu that a configuration comes to. */
export function evaluateGrub(text: string, world: GrubWorld): GrubMenu {
  return runGrub(text, world).menu;
}

/** What boots of it when nobody touches the menu. */
export function defaultGrubEntry(menu: GrubMenu): GrubChoice | null {
  return choose(menu, menu.default);
}
