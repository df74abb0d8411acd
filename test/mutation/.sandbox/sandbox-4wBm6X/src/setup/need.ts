// @ts-nocheck
import { type Binding, listBindings } from "../bindings/binding.ts";
import { type EarlyLack, whyNoDeadline } from "../boot/initramfs/clevis.ts";
import type { InitramfsFacts } from "../boot/initramfs/inspect.ts";
import type { Mending } from "../boot/initramfs/mending.ts";
import type { NextBoot } from "../boot/next-boot.ts";
import { type EarlyBoot, earlyFacts, findDrivers } from "../check/collect/early-boot.ts";
import { lacksOf } from "../check/collect/early-lacks.ts";
import type { Surroundings } from "../check/collect/facts.ts";
import { whyEarly } from "../check/judge/stage.ts";
import { NightlatchError } from "../core/errors.ts";
import type { CrypttabEntry } from "../formats/systemd/crypttab.ts";
import { mountsMapping } from "../formats/systemd/fstab.ts";
import { readVolumeHeader } from "../luks/header/header.ts";
import type { System } from "../system/port.ts";
import { listImages } from "./images.ts";
import { planSetup, type SetupPlan } from "./plan.ts";

/** What the initramfs that opens a volume needs, so that a binding opens it there. */
export interface SetupNeed {
  /** Why the initramfs opens the volume, such as `the root lies on it`. */
  readonly why: string;
  readonly uuid: string;
  readonly lacks: readonly Pick<EarlyLack, "what" | "remedy" | "steps">[];
  readonly plan: SetupPlan;
  readonly mending: Mending;
  readonly next: NextBoot;
  /**
   * What another initramfs, for that kernel, lacks for the same binding, but for what takes a
   * person and was told.
   */
  readonly lacksOf: (facts: InitramfsFacts, release: string) => Promise<readonly EarlyLack[]>;
}

type NeedPower = Parameters<typeof lacksOf>[0] & Parameters<typeof findDrivers>[0] & Pick<System, "readAt">;

/**
 * Tells what a volume's bindings lack in the initramfs that boots next; of several bindings, those
 * of the one that lacks the least. Null where the system opens the volume, after the initramfs;
 * where no initramfs that is known opens it yet, which `check` tells; and where it has no binding.
 * @param entry its line of crypttab
 * @throws NightlatchError as readVolumeHeader, file/*, system/*
 */
export async function findSetupNeed(
  system: NeedPower,
  device: string,
  entry: CrypttabEntry | null,
  { early, mounts }: Pick<Surroundings, "early" | "mounts">,
): Promise<SetupNeed | null> {
  const { next, mending, beneath } = early;
  if (next === null || next.facts === null || mending === null) return null;
  const header = await readVolumeHeader(system, device);
  const uuid = header.uuid.toLowerCase();
  const own = entry === null ? [] : mounts.filter((mount) => mountsMapping(mount, entry.volume));
  const reason = whyEarly({ entry, uuid, mounts: own, beneath, inside: next.volumes });
  const boot = earlyFacts(reason, { entry, uuid }, early, "/etc/crypttab")?.boot;
  if (reason === null || boot?.opensIt !== true || boot.keyscript !== null) return null;
  const { cmdline } = next.entry;
  const request = { device, luksVersion: header.version, cmdline };
  const lacksIn = (
    binding: Binding,
    facts: InitramfsFacts,
    around: Pick<EarlyBoot, "mending" | "drivers">,
    everyShare: boolean,
  ) => lacksOf(system, { facts }, around, binding, { ...request, everyShare });
  const { facts } = next;
  const judged = await Promise.all(
    listBindings(header).map(async (binding) => ({ binding, lacks: await lacksIn(binding, facts, early, true) })),
  );
  const [best] = judged.sort((a, b) => a.lacks.length - b.lacks.length);
  if (best === undefined) return null;
  const { binding } = best;
  const deadline = binding.early.network ? whyNoDeadline(facts, mending) : null;
  const lacks = [...best.lacks, ...(deadline === null ? [] : [deadline])];
  const plan = planSetup(lacks);
  // What takes a person is told, and keeps nothing else from being set up.
  const byHand = new Set(plan.byHand.map(({ what }) => what));
  return {
    why: reason.why,
    uuid: header.uuid,
    lacks,
    plan,
    mending,
    next,
    lacksOf: async (other, release) => {
      const drivers = await findDrivers(system, { facts: other, entry: { ...next.entry, release } }, mending);
      const lacks = await lacksIn(binding, other, { mending, drivers }, false);
      if (lacks.length > 0) return lacks.filter(({ what }) => !byHand.has(what));
      // What a person has to do for a share that others make up for is no fault of the image.
      const ofShares = await lacksIn(binding, other, { mending, drivers }, true);
      return ofShares.filter(({ steps }) => steps !== null);
    },
  };
}

/**
 * Refuses a machine whose initramfs cannot be replaced by one that was proved beside it.
 * @throws NightlatchError setup/unsupported, file/*
 */
export async function requireReplaceable(
  system: Pick<System, "listDirectory" | "stat" | "realPath">,
  { next, mending }: Pick<SetupNeed, "next" | "mending">,
): Promise<void> {
  const images = new Set((await listImages(system)).map(({ path }) => path));
  const plain = next.entry.initrds.filter(({ section }) => section === null);
  const boots = await Promise.all(plain.map(({ path }) => system.realPath(path)));
  if (mending.program !== "mkinitcpio" && boots.some((path) => path !== null && images.has(path))) return;
  throw new NightlatchError(
    "setup/unsupported",
    `${next.entry.title} does not boot an initramfs of /boot/initrd.img-…`,
    {
      meaning: "It cannot be replaced here by one that was proved beforehand. Nothing of it was changed.",
      remedy: "Type the commands that nightlatch check prints.",
    },
  );
}
