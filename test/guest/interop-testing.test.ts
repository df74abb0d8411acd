/**
 * The interop tests against the programs of Debian testing: cryptsetup, clevis, systemd's
 * generators and its plan of a boot, GRUB. They run in a tree with this checkout; nothing is
 * booted.
 */
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runInTree } from "./harness/chroot.ts";
import { judged, tellVersions } from "./harness/moving.ts";
import { OUR_DEPENDENCIES, type Recipe, SPLIT_OFF, type Suite } from "./harness/recipe.ts";
import { onlyInFull } from "./harness/requirements.ts";
import { treeArchive, withTree } from "./harness/tree.ts";

const SUITE: Suite = "forky";
const ROOT = join(import.meta.dirname, "../..");
/** What the tests import. */
const PARTS = ["package.json", "src", "test", "bin", "script", "packaging", "docs", "node_modules"];

const RECIPE: Recipe = {
  name: `interop-${SUITE}`,
  suite: SUITE,
  packages: [
    [
      ...["systemd-sysv", "udev", "kmod", "cryptsetup", "cryptsetup-bin", "e2fsprogs", "iproute2", "procps"],
      ...["clevis", "clevis-luks", "jose", "luksmeta", "tang", "keyutils", "socat", "openssl", "jq"],
      ...["grub-common", "grub-emu", "zstd", "xz-utils", "lz4", "lzop", "bzip2", "cpio", "busybox", "bsdutils"],
      ...OUR_DEPENDENCIES,
      ...SPLIT_OFF[SUITE],
    ],
  ],
  files: {},
  finish: [],
};

/** Those whose peer a new release could change under us. */
const FILES = [
  "systemd/plan",
  "check/crypttab-lines",
  "systemd/cryptsetup-generator",
  "boot/grub-emu",
  "pins/jose",
  "luks/header",
  "luks/keyslots",
  "luks/refusals",
  "reboot/stage",
  "server/clevis",
  "pins/tang",
  "command/units",
].map((name) => `test/interop/${name}.test.ts`);

/**
 * A root that is a mount, for tests that make a mount namespace; a /sys that systemd takes for a
 * machine's, with its control groups.
 */
const AS_A_MACHINE = "mount -t sysfs sys /sys; mount -t cgroup2 cgroup2 /sys/fs/cgroup; mount --rbind / /mnt";

test("the interop tests agree with the programs of Debian testing", { skip: onlyInFull() }, (t) =>
  judged(t, SUITE, async () =>
    withTree(await treeArchive(RECIPE), async (tree) => {
      await tellVersions(t, SUITE, (script) => runInTree(tree, script));
      const checkout = join(tree, "checkout");
      mkdirSync(checkout);
      for (const part of PARTS)
        cpSync(join(ROOT, part), join(checkout, part), { recursive: true, dereference: part === "node_modules" });
      // The long runs are for the machine's own programs.
      const command = `unset NIGHTLATCH_TEST_FULL; cd /checkout && ip link set lo up && script/node script/run-tests.ts --parallel 1 ${FILES.join(" ")}`;
      const said = await runInTree(tree, `${AS_A_MACHINE}; exec chroot /mnt /bin/sh -c '${command}'`, DEADLINE_MS);
      t.diagnostic(String(said.trim().split("\n").at(-1)));
    }),
  ),
);

const DEADLINE_MS = 25 * 60_000;
