/**
 * Packages on the guest's own disk, for its apt: a guest has no network to Debian's archive, and
 * what is tested types the `apt-get install` that a person types.
 */
import type { Recipe } from "./recipe.ts";

const SHELF = "/var/lib/shelf";

/** A recipe whose guest can install these packages, and has not. */
export function onShelf(recipe: Recipe, packages: readonly string[]): Recipe {
  const fetched = ["--download-only", "-o", `Dir::Cache::archives=${SHELF}`, ...packages];
  return {
    ...recipe,
    name: `${recipe.name}-shelf`,
    packages: [...recipe.packages, fetched],
    files: {
      ...recipe.files,
      [`${SHELF}/partial/.keep`]: { text: "" },
      // Where a person says yes.
      "/etc/apt/apt.conf.d/90guest": { text: 'APT::Get::Assume-Yes "true";\nDpkg::Use-Pty "0";\n' },
    },
    finish: [...recipe.finish, INDEX, `echo 'deb [trusted=yes] file:${SHELF} ./' >/etc/apt/sources.list`],
  };
}

/** Run in the tree at the very end: the lists of all other archives are gone by then. */
export const SHELF_INDEX = "rm -rf /etc/apt/sources.list.d && apt-get update -qq";

/** What dpkg-scanpackages would write, which comes with a compiler. */
const INDEX = `
cd ${SHELF}
for deb in *.deb; do
  dpkg-deb -f "$deb"
  echo "Filename: ./$deb"
  echo "Size: $(stat -c %s "$deb")"
  echo "SHA256: $(sha256sum "$deb" | cut -d' ' -f1)"
  echo
done >Packages
cd /`;
