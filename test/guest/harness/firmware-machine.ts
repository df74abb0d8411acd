/**
 * A machine with an encrypted root that its firmware boots (SeaBIOS, or OVMF) through a boot loader
 * that the guest's own tools put on the boot disk: it is started once by QEMU's direct kernel boot
 * for that, and the disk is kept.
 */
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must } from "../../../script/program.ts";
import { cached, digestOf } from "./cache.ts";
import { type EncryptedRoot, encryptedMachine } from "./encrypted-root.ts";
import { LOADERS, type Loader } from "./loader.ts";
import { type MachineOptions, startMachine } from "./machine.ts";
import { typePassphrase } from "./prompt.ts";

export type FirmwareRoot = EncryptedRoot & { readonly loader: Loader };

const BUILDER = readFileSync(import.meta.filename);
const OVMF = { code: "/usr/share/OVMF/OVMF_CODE_4M.fd", variables: "/usr/share/OVMF/OVMF_VARS_4M.fd" };
/** Microsoft's keys are enrolled in these variables, and only the firmware can write them. */
const OVMF_SECURE_BOOT = {
  code: "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
  variables: "/usr/share/OVMF/OVMF_VARS_4M.ms.fd",
};
const GUARDED_FLASH = "driver=cfi.pflash01,property=secure,value=on";

/** Options of a machine on disks of its own in `folder`, and with EFI variables of its own. */
export async function firmwareMachine(root: FirmwareRoot, folder: string): Promise<MachineOptions> {
  const { options, digest } = await encryptedMachine(root, folder);
  const { install, uefi, secureBoot = false } = LOADERS[root.loader];
  const entry = { kind: "firmware", name: `${root.suite}-${root.loader}`, digest: digestOf(BUILDER, digest), keep: 6 };
  const built = await cached(entry, async (out) => {
    const scratch = mkdtempSync(join(tmpdir(), "nightlatch-loader-"));
    try {
      const first = (await encryptedMachine(root, scratch)).options;
      await using machine = await startMachine(first);
      await typePassphrase(machine.console);
      await machine.login();
      await machine.must(install, 600_000);
      await machine.powerOff();
      await must(["cp", "--sparse=always", join(scratch, "boot.raw"), join(out, "boot.raw")]);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });
  await must(["cp", "--sparse=always", join(built, "boot.raw"), join(folder, "boot.raw")]);
  const ovmf = secureBoot ? OVMF_SECURE_BOOT : OVMF;
  const variables = join(folder, "variables.fd");
  if (uefi) copyFileSync(ovmf.variables, variables);
  const flash = [`unit=0,readonly=on,file=${ovmf.code}`, `unit=1,file=${variables}`];
  const drives = uefi ? flash.flatMap((part) => ["-drive", `if=pflash,format=raw,${part}`]) : [];
  return {
    ...options,
    disks: (options.disks ?? []).map((disk) => ({ ...disk, boots: disk.serial === "boot" })),
    firmwareBoot: true,
    board: secureBoot ? "q35,smm=on" : "pc",
    extra: secureBoot ? [...drives, "-global", GUARDED_FLASH] : drives,
  };
}
