/**
 * Tests on a suite that moves: one that fails there is told apart by a control, the same machine
 * without our package doing by hand what the test has us do. Where that fails too, it is the
 * suite's own fault, and the test is skipped with that reason.
 */
import type { TestContext } from "node:test";
import { moves, RELEASES, type Suite } from "./recipe.ts";
import { SuiteFault } from "./suite.ts";

/** @throws Error what `body` threw, where it is not shown to be the suite's fault */
export async function judged(
  t: Pick<TestContext, "diagnostic" | "skip">,
  suite: Suite,
  body: () => Promise<void>,
  control: () => Promise<void> = async () => {},
): Promise<void> {
  try {
    await body();
  } catch (error) {
    if (!moves(suite)) throw error;
    // At once: the control takes as long as the test did.
    console.error(`with our package: ${String(error)}`);
    const fault = error instanceof SuiteFault ? error : await faultOf(suite, control);
    if (fault === null) throw error;
    if (fault !== error) t.diagnostic(`with our package: ${String(error)}`);
    t.diagnostic(`without it: ${fault.message}`);
    t.skip(fault.message.split("\n").slice(0, 2).join(" "));
  }
}

async function faultOf(suite: Suite, control: () => Promise<void>): Promise<SuiteFault | null> {
  try {
    await control();
    return null;
  } catch (error) {
    return error instanceof SuiteFault ? error : new SuiteFault(suite, error);
  }
}

/** Those of them that are installed, with their versions, as a shell line. */
const ASK = `dpkg-query -W -f '\${db:Status-Abbrev} \${Package} \${Version}\\n' ${[
  "systemd",
  "linux-image-cloud-amd64",
  "linux-image-amd64",
  "cryptsetup-bin",
  "clevis",
  "initramfs-tools",
  "dracut",
  "kexec-tools",
  "grub-common",
  "libc6",
].join(" ")} 2>/dev/null | sed -n 's/^ii *//p'`;

/**
 * Prints what the suite held when the test saw it. `ask` runs a shell line in the guest or its
 * tree.
 */
export async function tellVersions(
  t: TestContext,
  suite: Suite,
  ask: (script: string) => Promise<string>,
): Promise<void> {
  const versions = (await ask(ASK)).trim().split("\n").join(", ");
  t.diagnostic(`${RELEASES[suite]}: ${versions}`);
}
