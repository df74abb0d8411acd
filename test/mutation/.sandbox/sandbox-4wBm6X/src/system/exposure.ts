// @ts-nocheck
import { lstat, readlink, type Stats } from "node:fs";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { findFlaw } from "../core/ownership.ts";
import { translate } from "./errno.ts";
import type { Exposure } from "./port.ts";

const targetOf = promisify(readlink);

/** The kernel's own limit (path_resolution(7)). */
const LINK_COUNT = 40;
const STICKY = 0o1000;
const WORLD_WRITE = 0o002;

/**
 * Goes the way that the kernel goes, folder by folder and link by link: whoever can put another
 * thing in one's place has the file.
 * @see System.findExposures
 */
export async function findExposures(
  files: readonly { readonly path: string; readonly isSecret: boolean }[],
): Promise<readonly Exposure[]> {
  const look = onceEach(lookAt);
  const found = await Promise.all(files.map(({ path, isSecret }) => findExposure(path, isSecret, look)));
  // A folder that is on the way to several is told once.
  const byPath = new Map(found.flatMap((exposure) => (exposure === null ? [] : [[exposure.path, exposure]])));
  return [...byPath.values()];
}

type Look = (path: string) => Promise<Stats | null>;

/** A boot waits for it: what is on the way to several is looked at once. */
function onceEach(look: Look): Look {
  const looks = new Map<string, Promise<Stats | null>>();
  return (path) => {
    const known = looks.get(path);
    if (known !== undefined) return known;
    const looking = look(path);
    looks.set(path, looking);
    return looking;
  };
}

async function findExposure(path: string, isSecret: boolean, look: Look): Promise<Exposure | null> {
  const owners = [0, process.geteuid?.() ?? 0];
  const ahead = partsOf(resolve(path));
  let folder = "";
  let links = 0;
  for (let part = ahead.shift(); part !== undefined; part = ahead.shift()) {
    const here = part === "" ? "/" : part === ".." ? parentOf(folder) : `${folder}/${part}`;
    const facts = await look(here);
    if (facts === null) return null;
    const { uid } = facts;
    const mode = facts.mode & 0o7777;
    if (facts.isSymbolicLink()) {
      links++;
      if (links > LINK_COUNT) return null; // nobody can open it
      if (!owners.includes(uid)) return { path: here, kind: "link", flaw: "owner", mode, uid };
      const target = await targetOf(here);
      if (target.startsWith("/")) folder = "";
      ahead.unshift(...partsOf(target));
      continue;
    }
    const isLast = ahead.length === 0;
    const kind = facts.isDirectory() ? "folder" : "file";
    const flaw = isLast ? findFlaw({ uid, mode }, owners, isSecret) : flawOfFolder({ uid, mode }, owners);
    if (flaw !== null) return { path: here, kind, flaw, mode, uid };
    folder = here === "/" ? "" : here;
  }
  return null;
}

/**
 * In a sticky folder only its owner can replace what it owns, and each step's owner is looked at. A
 * folder on the way that a group may write is that group's trust: /usr/local of Debian's staff,
 * say.
 */
function flawOfFolder({ uid, mode }: { readonly uid: number; readonly mode: number }, owners: readonly number[]) {
  if (!owners.includes(uid)) return "owner";
  return (mode & WORLD_WRITE) !== 0 && (mode & STICKY) === 0 ? "changed" : null;
}

/** The first is empty where it begins at the root. */
function partsOf(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  return path.startsWith("/") ? ["", ...parts] : parts;
}

function parentOf(folder: string): string {
  return folder.slice(0, folder.lastIndexOf("/")) || "/";
}

function lookAt(path: string): Promise<Stats | null> {
  return new Promise((give, fail) => {
    lstat(path, (error, facts) => {
      if (error === null) return give(facts);
      const known = translate(error, path);
      if (known.code === "file/missing") give(null);
      else fail(known);
    });
  });
}
