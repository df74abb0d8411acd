// @ts-nocheck
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

/** Where the sources are. */
export const SRC = resolve(import.meta.dirname, "../../src");

/** One import of one source by another, as paths below the folder that was asked for. */
export interface Import {
  readonly from: string;
  readonly to: string;
}

/** Gives every relative import of the sources in a folder, types among them. */
export function importsIn(folder: string): Import[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) => {
      const text = readFileSync(join(folder, file), "utf8");
      const found = text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g);
      return [...found].map(([, target]) => ({
        from: file,
        to: relative(folder, join(folder, dirname(file), String(target))),
      }));
    });
}
