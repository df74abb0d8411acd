/**
 * Which volumes a boot starts, and what check and status say of it: systemd's own plan over random
 * crypttab and fstab files and kernel command lines, and ours.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseCrypttab } from "../../../src/formats/systemd/crypttab.ts";
import { claimsOf, disagreements, type MachineFiles, READERS, type Readers } from "../../support/systemd/claims.ts";
import { cmdline, stopperLine, unreadableLine, volumes } from "../../support/systemd/grammar.ts";
import { type BootPlan, noPlan, planBoot } from "../../support/systemd/plan.ts";

const VOLUMES = 16;
const numRuns = process.env["NIGHTLATCH_TEST_FULL"] ? 100 : 6;
const seed = Number(process.env["NIGHTLATCH_TEST_SEED"] ?? 20261128);
const REMOTE = "remote-cryptsetup.target";

/** Most boots have a plain command line, for a list of volumes leaves little to plan. */
const someCmdline = fc.oneof({ arbitrary: fc.constant("quiet"), weight: 3 }, cmdline(VOLUMES - 1));
/** One that takes others with it, and where. */
const oddLine = fc.tuple(fc.oneof(unreadableLine, stopperLine), fc.nat(VOLUMES));
const files = fc
  .tuple(volumes(VOLUMES), fc.boolean(), someCmdline, fc.oneof({ arbitrary: fc.constant(null), weight: 5 }, oddLine))
  .map(([all, startsRemote, words, odd]): MachineFiles => {
    const own = all.map(({ line }) => line);
    const lines = (texts: readonly string[]) => Buffer.from(texts.map((text) => `${text}\n`).join(""), "latin1");
    return {
      crypttab: lines(odd === null ? own : own.toSpliced(odd[1], 0, odd[0])),
      fstab: lines(all.flatMap(({ mounts }) => mounts)),
      startsRemote,
      cmdline: words,
    };
  });

function plan({ startsRemote, ...rest }: MachineFiles): BootPlan {
  return planBoot({ ...rest, enabled: startsRemote ? [REMOTE] : [] });
}

const told = ({ crypttab, fstab, startsRemote, cmdline: words }: MachineFiles): string =>
  `${REMOTE}: ${startsRemote}; ${words}\n${crypttab.toString("latin1")}\n${fstab.toString("latin1")}`;

test("a boot starts the volumes that check and status say it starts", { skip: noPlan }, (t) => {
  const kinds: Record<string, number> = {};
  let cyclic = 0;
  let odd = 0;
  fc.assert(
    fc.property(files, (some) => {
      const planned = plan(some);
      const claims = claimsOf(some);
      // Which jobs systemd drops to break a cycle is its own choice; check/cycle tells of it.
      if (planned.cycles.length > 0) {
        cyclic++;
        return;
      }
      assert.deepEqual(disagreements(claims, planned), [], told(some));
      if (claims.crypttab.stopsAt !== null || claims.crypttab.unreadable.length > 0) odd++;
      for (const { start, outlook } of claims.claims) {
        for (const word of [start.by, `will ${outlook.will}`]) kinds[word] = (kinds[word] ?? 0) + 1;
      }
    }),
    { numRuns, seed, endOnFailure: !process.env["NIGHTLATCH_TEST_SHRINK"] },
  );
  t.diagnostic(
    `seed ${seed}: ${numRuns} boots of ${VOLUMES} lines, ${odd} with a line that harms others, ${cyclic} with a cycle left out; ` +
      `${JSON.stringify(kinds)}; no disagreement`,
  );
});

/** Machines of which each has what one of the faults below gets wrong. */
const MIXED: MachineFiles = {
  crypttab: Buffer.from(
    [
      "needed UUID=1 /run/nightlatch/agent.sock luks,_netdev,noauto",
      "remote UUID=2 /run/nightlatch/agent.sock luks,_netdev,nofail",
      "lazy UUID=3 /run/nightlatch/agent.sock luks,_netdev,nofail",
      "above UUID=4 /run/nightlatch/agent.sock luks,_netdev,noauto,nofail",
      "failing UUID=5 /run/nightlatch/agent.sock luks,_netdev,nofail",
    ].join("\n"),
  ),
  fstab: Buffer.from(
    [
      "/dev//mapper/needed /srv ext4 _netdev 0 2",
      "/dev/mapper/lazy /lazy ext4 _netdev,nofail,x-systemd.automount 0 2",
      "/dev/mapper/above /top ext4 noauto 0 2",
      "tmpfs /top/in tmpfs _netdev 0 0",
      "/dev/mapper/failing /f ext4 _netdev,nofail,x-systemd.requires=/nowhere 0 2",
    ].join("\n"),
  ),
  startsRemote: false,
  cmdline: "quiet",
};
const line = (name: string, more = "") => `${name} UUID=${name} /run/nightlatch/agent.sock luks,nofail${more}\n`;
const UNREADABLE = { ...MIXED, crypttab: Buffer.from(`${line("good")}bad\xe9 /dev/sdz none luks\n`, "latin1") };
const STOPPED = { ...MIXED, crypttab: Buffer.from(line("good") + line("good") + line("last")) };
const LISTED = { ...MIXED, crypttab: Buffer.from(line("good")), cmdline: "luks.uuid=other" };

/** Readers with a fault, each of which nightlatch once had, and the machine that shows it. */
const FAULTS: readonly (readonly [what: string, machine: MachineFiles, readers: Partial<Readers>])[] = [
  [
    "noauto is taken at its word",
    MIXED,
    {
      starts: (all) =>
        READERS.starts({ ...all, mounts: all.mounts.filter(({ source }) => !source.includes("needed")) }),
    },
  ],
  [
    "remote-cryptsetup.target is taken to be enabled",
    MIXED,
    { starts: (all) => READERS.starts({ ...all, startsRemote: true }) },
  ],
  [
    "an automount is taken for a mount",
    MIXED,
    {
      starts: (all) =>
        READERS.starts({
          ...all,
          mounts: all.mounts.map((mount) => ({
            ...mount,
            options: mount.options.filter((option) => option !== "x-systemd.automount"),
          })),
        }),
    },
  ],
  [
    "what a mount lies beneath is not looked at",
    MIXED,
    { starts: (all) => READERS.starts({ ...all, mounts: all.mounts.filter(({ source }) => source !== "tmpfs") }) },
  ],
  [
    "a mount that cannot be had counts",
    MIXED,
    {
      starts: (all) =>
        READERS.starts({
          ...all,
          mounts: all.mounts.map((mount) => ({
            ...mount,
            options: mount.options.filter((option) => !option.startsWith("x-systemd.requires=")),
          })),
        }),
    },
  ],
  [
    "a line that is not UTF-8 harms itself alone",
    UNREADABLE,
    { parse: (bytes) => ({ ...parseCrypttab(bytes), unreadable: [] }) },
  ],
  [
    "a name that stands twice harms itself alone",
    STOPPED,
    { parse: (bytes) => ({ ...parseCrypttab(bytes), stopsAt: null }) },
  ],
  ["the kernel command line is not read", LISTED, { starts: (all) => READERS.starts({ ...all, cmdline: "quiet" }) }],
];

for (const [what, machine, faulty] of FAULTS) {
  test(`the comparison sees it where ${what}`, { skip: noPlan }, () => {
    const wrong = claimsOf(machine, { ...READERS, ...faulty });
    // Behind a unit that cannot be had, what systemd starts differs from plan to plan.
    for (let tries = 0; tries < 20; tries++) {
      const planned = plan(machine);
      assert.deepEqual(disagreements(claimsOf(machine), planned), []);
      if (disagreements(wrong, planned).length > 0) return;
    }
    assert.fail("it was not seen");
  });
}
