/**
 * systemd-cryptenroll of Debian 12, 13 and testing on a volume with all that we bind. Each runs in
 * its own tree; nothing is booted.
 */
import { mkdirSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import { NEW_PASSPHRASE, noSuchVolume, worksBeside } from "../support/enrolled-beside.ts";
import { PASSPHRASE } from "../support/volumes.ts";
import { runInTree } from "./harness/chroot.ts";
import { judged, tellVersions } from "./harness/moving.ts";
import { dataGuest, RELEASES, type Suite } from "./harness/recipe.ts";
import { onlyInFull } from "./harness/requirements.ts";
import { treeArchive, withTree } from "./harness/tree.ts";

for (const suite of ["bookworm", "trixie", "forky"] as const satisfies readonly Suite[]) {
  test(
    `systemd-cryptenroll of ${RELEASES[suite]} works beside ours, and all of ours opens afterwards`,
    {
      skip: onlyInFull() || noSuchVolume,
    },
    (t) =>
      judged(t, suite, async () =>
        withTree(await treeArchive(dataGuest(suite)), async (tree) => {
          await tellVersions(t, suite, (script) => runInTree(tree, script));
          const folder = join(tree, "volumes");
          mkdirSync(folder);
          await worksBeside({
            folder,
            enroll: (image, ...words) => {
              const passwords = `PASSWORD='${PASSPHRASE}' NEWPASSWORD="${NEW_PASSPHRASE}"`;
              const enroll = `systemd-cryptenroll ${words.join(" ")} /volumes/${basename(image)}`;
              return runInTree(tree, `mkdir -p /run/cryptsetup; ${passwords} ${enroll}`);
            },
          });
        }),
      ),
  );
}
