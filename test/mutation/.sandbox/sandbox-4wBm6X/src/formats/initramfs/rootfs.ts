// @ts-nocheck
import { type CpioEntry, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "./cpio.ts";
import { unreadable } from "./unreadable.ts";

/**
 * What the kernel's root file system holds once an initramfs was unpacked (init/initramfs.c):
 * a later entry replaces an earlier one, hard links share their content, which may come with any of
 * them, links to folders are followed on the way to a name, and an entry whose folder is not there
 * is dropped without a word.
 */
export class RootFileSystem {
  readonly #root: Folder = { kind: "folder", children: new Map() };
  /** The first name of each inode with several, of the archive that is being read. */
  #links = new Map<string, string>();
  #entries = 0;

  /**
   * @param content what the entry holds; null where it was not kept.
   * @throws NightlatchError initramfs/malformed
   */
  add(entry: CpioEntry, content: Buffer | null): void {
    if (++this.#entries > MAX_ENTRIES) throw unreadable(`it holds more than ${MAX_ENTRIES} entries`);
    const type = entry.mode & S_IFMT;
    // The kernel skips those.
    if (type !== S_IFREG && type !== S_IFLNK && entry.sizeBytes > 0) return;
    const first = type === S_IFREG ? this.#firstOf(entry) : undefined;
    if (type === S_IFLNK && (entry.sizeBytes > PATH_MAX_BYTES || content === null)) return;
    const isFree = this.#clear(entry.name, first === undefined ? KINDS.get(type) : undefined);
    const place = this.#place(entry.name); // what went may have been a link on the way to it
    if (place === null) return;
    switch (type) {
      case S_IFREG:
        this.#addFile(place, first, entry, content);
        return;
      case S_IFDIR:
        if (!place.folder.children.has(place.name)) {
          place.folder.children.set(place.name, { kind: "folder", children: new Map() });
        }
        return;
      case S_IFLNK:
        if (!isFree || content === null) return;
        place.folder.children.set(place.name, { kind: "link", target: targetOf(content) });
        return;
      default:
        if (!place.folder.children.has(place.name)) place.folder.children.set(place.name, { kind: "other" });
    }
  }

  /** The archive has ended: inode numbers mean other files in the next one. */
  endArchive(): void {
    this.#links = new Map();
  }

  /**
   * The file's content: null where there is no such file, "unknown" where it was not kept. Links
   * are followed.
   */
  content(name: string): Buffer | "unknown" | null {
    const node = this.#find(name);
    if (node?.kind !== "file") return null;
    return node.content ?? "unknown";
  }

  /** Whether there is anything by that name; links are followed. */
  has(name: string): boolean {
    return this.#find(name) !== null;
  }

  /** The names of all that there is, without a leading slash, each by its own place. */
  *names(): Generator<string> {
    const waiting: [string, Folder][] = [["", this.#root]];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      for (const [name, node] of next[1].children) {
        const path = `${next[0]}${name}`;
        yield path;
        if (node.kind === "folder") waiting.push([`${path}/`, node]);
      }
    }
  }

  /**
   * The kernel's clean_path: what is of another kind goes, unless it is a folder with something in
   * it. Whether nothing of another kind is left.
   */
  #clear(name: string, kind: Node["kind"] | undefined): boolean {
    const place = this.#place(name);
    const there = place?.folder.children.get(place.name);
    if (place === null || there === undefined || there.kind === kind) return true;
    if (there.kind === "folder" && there.children.size > 0) return false;
    place.folder.children.delete(place.name);
    return true;
  }

  /**
   * The first name of a file with several, which this one may be: it is kept whether a file could
   * be made by it or not (find_link).
   */
  #firstOf({ linkCount, fileId, name }: CpioEntry): string | undefined {
    if (linkCount < 2) return undefined;
    const first = this.#links.get(fileId);
    if (first === undefined) this.#links.set(fileId, name);
    return first;
  }

  #addFile(place: Place, first: string | undefined, entry: CpioEntry, content: Buffer | null): void {
    if (first === undefined) {
      const there = place.folder.children.get(place.name);
      if (there === undefined) place.folder.children.set(place.name, { kind: "file", content });
      else if (there.kind === "file") there.content = content; // opened with O_TRUNC: its other names change as well
      return;
    }
    const origin = this.#place(first);
    const linked = origin?.folder.children.get(origin.name);
    if (linked === undefined || linked.kind === "folder" || place.folder.children.has(place.name)) return;
    place.folder.children.set(place.name, linked);
    if (entry.sizeBytes > 0 && linked.kind === "file") linked.content = content;
  }

  /**
   * The folder that a name lies in, links on the way followed, and its last part. Null where that
   * folder is not there.
   */
  #place(name: string): Place | null {
    const parts = name.split("/").filter((part) => part !== "" && part !== ".");
    const last = parts.pop();
    if (last === undefined || last === "..") return null;
    const folder = this.#walk(parts);
    return folder?.kind === "folder" ? { folder, name: last } : null;
  }

  #find(name: string): Node | null {
    return this.#walk(name.split("/"));
  }

  #walk(path: readonly string[]): Node | null {
    const parts = [...path].reverse();
    const above: Folder[] = [];
    let folder = this.#root;
    let hops = 0;
    for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
      if (part === "" || part === ".") continue;
      if (part === "..") {
        folder = above.pop() ?? this.#root;
        continue;
      }
      const node = folder.children.get(part);
      if (node === undefined) return null;
      if (node.kind === "link") {
        if (++hops > MAX_HOPS) return null;
        if (node.target.startsWith("/")) {
          folder = this.#root;
          above.length = 0;
        }
        parts.push(...node.target.split("/").reverse());
        continue;
      }
      if (node.kind === "folder") {
        above.push(folder);
        folder = node;
        continue;
      }
      return parts.some((rest) => rest !== "" && rest !== ".") ? null : node;
    }
    return folder;
  }
}

interface Folder {
  readonly kind: "folder";
  readonly children: Map<string, Node>;
}

type Node =
  | Folder
  | { readonly kind: "file"; content: Buffer | null }
  | { readonly kind: "link"; readonly target: string }
  | { readonly kind: "other" };

interface Place {
  readonly folder: Folder;
  readonly name: string;
}

/** More than any generator writes; each costs memory here. */
const MAX_ENTRIES = 500_000;
/** PATH_MAX. */
const PATH_MAX_BYTES = 4096;
/** MAXSYMLINKS. */
const MAX_HOPS = 40;

/** Kinds that a thing of the same kind is not made anew over. */
const KINDS: ReadonlyMap<number, Node["kind"]> = new Map([
  [S_IFREG, "file"],
  [S_IFDIR, "folder"],
]);

function targetOf(content: Buffer): string {
  const end = content.indexOf(0);
  return content.toString("utf8", 0, end < 0 ? content.length : end);
}
