import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { must } from "../../../script/program.ts";
import { cached, digestOf } from "./cache.ts";

const ROOT = join(import.meta.dirname, "../../..");
const INPUTS = ["src", "packaging", "script"];

/**
 * The .deb of this checkout as it stands, made by script/package; kept for as long as nothing that
 * goes into it changes.
 */
export async function builtPackage(): Promise<string> {
  const files = INPUTS.flatMap((part) => filesBelow(join(ROOT, part))).concat(join(ROOT, "package-lock.json"));
  const digest = digestOf(...files.flatMap((file) => [file.slice(ROOT.length), readFileSync(file)]));
  const folder = await cached({ kind: "package", name: "nightlatch", digest, keep: 4 }, async (out) => {
    // The commit's time would make another file of the same contents, and another image from it.
    await must(["env", "SOURCE_DATE_EPOCH=1700000000", join(ROOT, "script/package"), join(out, FILE)], 600_000);
  });
  return join(folder, FILE);
}

const FILE = "nightlatch.deb";

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}
