// @ts-nocheck
import { isError } from "../../core/errors.ts";
import { ONESHOT_ID } from "../own/oneshot-mark.ts";
import { choose, type GrubChoice } from "./default-entry.ts";
import { runGrub } from "./menu.ts";
import type { GrubEntry, GrubLinux, GrubMenu, GrubWorld } from "./world.ts";

interface ArmedGrub {
  /** Text of grub.cfg, and the world as it is before anything is changed. */
  readonly text: string;
  readonly world: GrubWorld;
  /** custom.cfg as it will be. */
  readonly custom: string;
  /** What our entry has to load, the files of ours last. */
  readonly expected: GrubLinux;
  /** Of these, the files of ours. */
  readonly extra: readonly string[];
}

/**
 * Tells, in words, why a machine with this GRUB would not come back once and only once by our
 * entry. Null where it will. The configuration is run as GRUB runs it: at the boot that is armed,
 * at the one after it, and with our files gone.
 * @throws NightlatchError grub/malformed, grub/unknown
 */
export function whyNotOnce(armed: ArmedGrub): string | null {
  // Once with all that may fail working, and once with it failing.
  const { world } = armed;
  return whyNot(armed) ?? whyNot({ ...armed, world: { ...world, doubtsFail: true } });
}

function whyNot({ text, world, custom, expected, extra }: ArmedGrub): string | null {
  const files = new Map([...world.files, [`${world.prefix}/custom.cfg`, custom]]);
  const without = (name: string) => new Map([...world.environment].filter(([variable]) => variable !== name));
  const chosen = new Map([...world.environment, ["next_entry", ONESHOT_ID]]);
  const ours = new Map([...files, ...extra.map((path) => [path, "present"] as const)]);
  const armed = runGrub(text, { ...world, files: ours, environment: chosen });
  const [choice, refusal] = ourChoice(armed.menu);
  if (choice === null) return refusal;
  if (!isSame(choice.entry.linux, expected)) return "our entry would not load what the other loads";
  if (armed.saved.get("next_entry") !== "")
    return "grub.cfg does not take back its one-time choice (save_env next_entry)";
  if (!/^\d+$/.test(armed.variables.get("timeout") ?? "")) return "GRUB waits for a person at its menu (timeout)";
  const users = armed.variables.get("superusers") ?? "";
  if (users !== "" && choice.entry.source?.args.includes("--unrestricted") !== true)
    return "GRUB asks for a password before it boots that entry (superusers)";
  const after = runGrub(text, { ...world, files: ours, environment: without("next_entry") }).menu;
  const before = runGrub(text, { ...world, environment: without("next_entry") }).menu;
  if (!isSameChoice(choose(before, before.default), choose(after, after.default)))
    return "another entry would become the default while ours is there";
  const [bare] = ourChoice(runGrub(text, { ...world, files, environment: chosen }).menu);
  const rest = { ...expected, initrds: expected.initrds.filter((path) => !extra.includes(path)) };
  if (!isSame(bare?.entry.linux ?? null, rest)) return "our entry would not boot where our files are gone";
  return null;
}

function ourChoice(menu: GrubMenu): [GrubChoice, null] | [null, string] {
  if (!menu.entries.some(({ id }) => id === ONESHOT_ID)) return [null, "grub.cfg does not include custom.cfg"];
  const choice = choose(menu, menu.default);
  if (choice?.entry.id === ONESHOT_ID && choice.asNamed) return [choice, null];
  return [null, "grub.cfg does not take its default from the one-time choice (next_entry in grubenv)"];
}

const isSame = (left: GrubLinux | null, right: GrubLinux | null): boolean =>
  JSON.stringify(left && linuxFields(left)) === JSON.stringify(right && linuxFields(right));

const linuxFields = ({ kernel, initrds, options, fsUuid }: GrubLinux) => [kernel, initrds, options, fsUuid];

const isSameChoice = (left: GrubChoice | null, right: GrubChoice | null): boolean =>
  left?.path === right?.path && isSame(left?.entry.linux ?? null, right?.entry.linux ?? null);

/**
 * Chooses the top-level entry to fall back to: the one that boots anyway if it is there, else the
 * first that boots. Null where there is none.
 */
export function fallbackOf(menu: GrubMenu): number | null {
  const own = choose(menu, menu.default)?.entry;
  const boots = menu.entries.flatMap((entry, index) => (bootsLinux(entry) ? [{ entry, index }] : []));
  return (boots.find(({ entry }) => entry === own) ?? boots[0])?.index ?? null;
}

/** False also where it is not known what the entry does. */
function bootsLinux(entry: GrubEntry): boolean {
  try {
    return entry.linux !== null;
  } catch (error) {
    if (isError(error, "grub/unknown")) return false;
    throw error;
  }
}
