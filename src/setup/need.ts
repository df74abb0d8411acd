import { type Binding, listBindings } from "../bindings/binding.ts";
import { type EarlyLack, whyNoDeadline } from "../boot/initramfs/clevis.ts";
import type { InitramfsFacts } from "../boot/initramfs/inspect.ts";
import type { Mending } from "../boot/initramfs/mending.ts";
import type { NextBoot } from "../boot/next-boot.ts";
import { type EarlyBoot, earlyFacts, findDriver } from "../check/collect/early-boot.ts";
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

type NeedPower = Parameters<typeof lacksOf>[0] & Parameters<typeof findDriver>[0] & Pick<System, "readAt">;

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
  const lacksIn = (binding: Binding, facts: InitramfsFacts, around: Pick<EarlyBoot, "mending" | "driver">) =>
    lacksOf(system, { facts }, around, binding, { device, luksVersion: header.version, cmdline: next.entry.cmdline });
  const { facts } = next;
  const judged = await Promise.all(
    listBindings(header).map(async (binding) => ({ binding, lacks: await lacksIn(binding, facts, early) })),
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
      const driver = await findDriver(system, { facts: other, entry: { ...next.entry, release } }, mending);
      const still = await lacksIn(binding, other, { mending, driver });
      return still.filter(({ what }) => !byHand.has(what));
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
