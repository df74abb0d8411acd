/**
 * What keeps the house tidy: an export has a reader in the product and a docstring, a name is
 * defined once, a comment fits the page, and a file that is named by its place is there.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";

const ROOT = resolve(import.meta.dirname, "../../..");
const COLUMNS = 100;

interface Source {
  readonly path: string;
  readonly text: string;
}

const sourcesOf = (folder: string): Source[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.includes("node_modules/"))
    .map((name) => join(folder, name))
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") }));

const DEFINITION = /^(export )?(?:async )?(?:const|let|function\*?|class|abstract class|interface|type) (\w+)/gm;
const IMPORT = /(?:import|export)\s+(?:type\s+)?\{([^}]*)\}\s+from\s+"(\.[^"]+)"/g;
const LAZY_IMPORT = /\{([^{}]*)\}\s*=\s*await\s+import\("(\.[^"]+)"\)/g;
/** A file that is taken whole: as a namespace, or when it is needed. */
const WHOLE = /(?:import \* as \w+ from |(?<!= await )import\()"(\.[^"]+)"/g;

/** `path name` of everything that these sources import by name. */
function importedBy(sources: readonly Source[]): Set<string> {
  const found = new Set<string>();
  for (const { path, text } of sources) {
    for (const [, target = ""] of text.matchAll(WHOLE)) found.add(`${join(dirname(path), target)} *`);
    for (const [, names = "", target = ""] of [...text.matchAll(IMPORT), ...text.matchAll(LAZY_IMPORT)]) {
      const file = join(dirname(path), target);
      for (const name of names.split(",")) {
        const [own = ""] = name
          .trim()
          .replace(/^type /, "")
          .split(/ as |:/);
        found.add(`${file} ${own.trim()}`);
      }
    }
  }
  return found;
}

/** Exports that a loader takes by their name, without an import that says so. */
const BY_NAME: readonly RegExp[] = [/^src\/cli\/commands\/\S+ command$/, /^src\/system\/native\/quick-crypto\.ts /];

/**
 * Exports of src that the product has no use for: nothing but tests reads them, and their own file
 * does not either; or nobody at all reads them from outside.
 */
function unread(sources: readonly Source[], readers: readonly Source[], tests: readonly Source[]): string[] {
  const [imported, tested] = [importedBy(readers), importedBy(tests)];
  return sources.flatMap(({ path, text }) =>
    [...text.matchAll(DEFINITION)]
      .filter(([, exported]) => exported !== undefined)
      .map(([, , name = ""]) => ({ name, one: `${path} ${name}` }))
      .filter(
        ({ one }) => !imported.has(one) && !imported.has(`${path} *`) && !BY_NAME.some((pattern) => pattern.test(one)),
      )
      .filter(({ name, one }) => !tested.has(one) || text.match(new RegExp(`\\b${name}\\b`, "g"))?.length === 1)
      .map(({ one }) => one),
  );
}

/** Names that more than one file defines at its top, with the files. */
function definedTwice(sources: readonly Source[]): string[] {
  const places = new Map<string, string[]>();
  for (const { path, text } of sources) {
    for (const [, exported, name = ""] of text.matchAll(DEFINITION)) {
      if (exported !== undefined && !BY_NAME.some((pattern) => pattern.test(`${path} ${name}`)))
        places.set(name, [...(places.get(name) ?? []), path]);
    }
  }
  return [...places].filter(([, paths]) => paths.length > 1).map(([name, paths]) => `${name}: ${paths.join(", ")}`);
}

/** Lines that are comment alone, and wider than the page. */
function wideComments({ path, text }: Source): string[] {
  return text
    .split("\n")
    .flatMap((line, index) =>
      /^\s*(?:\/\/(?! biome-ignore)|\/?\*)/.test(line) && line.length > COLUMNS ? [`${path}:${index + 1}`] : [],
    );
}

/** Exports that say nothing of themselves. Constants in a row share the docstring of the first. */
function undocumented({ path, text }: Source): string[] {
  const lines = text.split("\n");
  const isSaid = (index: number): boolean => {
    const above = lines[index - 1] ?? "";
    if (above.endsWith("*/")) return true;
    const isConstant = (line = "") => /^export const \w+ = [^;]+;/.test(line);
    return isConstant(above) && isConstant(lines[index]) && isSaid(index - 1);
  };
  return lines.flatMap((line, index) => {
    const [, name] =
      /^export (?:async )?(?:const|function\*?|(?:abstract )?class|interface|type) (\w+)/.exec(line) ?? [];
    if (name === undefined || isSaid(index) || BY_NAME.some((pattern) => pattern.test(`${path} ${name}`))) return [];
    return [`${path} ${name}`];
  });
}

/** What a build or a test makes before it is read. */
const MADE = /^src\/system\/native\/koffi\.node$/;

/** Files that are named by their place beside the one that names them, and are not there. */
function missing({ path, text }: Source): string[] {
  const named = [
    ...text.matchAll(/(?:join|resolve)\(import\.meta\.dirname, "([^"]+)"/g),
    ...text.matchAll(/new URL\("(\.[^"]+)", import\.meta\.url\)/g),
  ].map(([, to = ""]) => join(dirname(path), to));
  return named.filter((file) => !MADE.test(file) && !existsSync(join(ROOT, file))).map((file) => `${path}: ${file}`);
}

const product = [...sourcesOf("src"), ...sourcesOf("script"), ...sourcesOf("bench")];

test("an export has a reader beside tests", () => {
  assert.deepEqual(unread(sourcesOf("src"), product, sourcesOf("test")), []);
});

test("a name is exported by one file", () => {
  assert.deepEqual(definedTwice(sourcesOf("src")), []);
});

test("a comment fits the page", () => {
  assert.deepEqual([...product, ...sourcesOf("test")].flatMap(wideComments), []);
});

test("an export says what it is", () => {
  assert.deepEqual(sourcesOf("src").flatMap(undocumented), []);
});

test("a file that is named by its place is there", () => {
  assert.deepEqual([...product, ...sourcesOf("test")].flatMap(missing), []);
});

test("what is untidy is found", () => {
  const a = { path: "src/a.ts", text: `export const one = 1;\nexport function two() {}\n// ${"x".repeat(98)}\n` };
  const b = { path: "src/b.ts", text: 'import { one } from "./a.ts";\nexport const one = 2;\n' };
  const c = { path: "test/c.ts", text: 'import { two } from "../src/a.ts";\n' };
  assert.deepEqual(unread([a], [b], []), ["src/a.ts two"]);
  assert.deepEqual(unread([a], [b], [c]), ["src/a.ts two"]);
  assert.deepEqual(unread([{ ...a, text: `${a.text}two();` }], [b], [c]), []);
  assert.deepEqual(definedTwice([a, b]), ["one: src/a.ts, src/b.ts"]);
  assert.deepEqual(wideComments(a), ["src/a.ts:3"]);
  assert.deepEqual(undocumented({ ...a, text: `/** Numbers. */\n${a.text}` }), ["src/a.ts two"]);
  // In two pieces, so that this file does not name it.
  const named = `join(import.meta${'.dirname, "../nowhere.ts")'}`;
  assert.deepEqual(missing({ ...a, text: named }), ["src/a.ts: nowhere.ts"]);
});
