/**
 * Which accelerator QEMU runs the guests on. That /dev/kvm is there says little: in a nested or
 * para-virtualized host it may hang or crawl. So a boot sector that counts is really booted under
 * each, and KVM is taken when it is the faster one.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../../script/program.ts";
import { cacheRoot } from "./cache.ts";

export type Accelerator = "kvm" | "tcg";

/** Asked once per boot of the host. */
export async function accelerator(): Promise<Accelerator> {
  if (!existsSync("/dev/kvm")) return "tcg";
  const note = join(cacheRoot(), "accelerator");
  const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const [notedId, noted] = existsSync(note) ? readFileSync(note, "utf8").split(" ") : [];
  if (notedId === bootId && (noted === "kvm" || noted === "tcg")) return noted;
  const chosen = await race();
  mkdirSync(cacheRoot(), { recursive: true, mode: 0o700 });
  writeFileSync(note, `${bootId} ${chosen}`);
  return chosen;
}

async function race(): Promise<Accelerator> {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-kvm-"));
  try {
    const sector = join(folder, "sector");
    writeFileSync(sector, bootSector());
    const tcgMs = await bootMs(sector, "tcg", 60_000);
    if (tcgMs === null) throw new Error("QEMU does not boot a boot sector here, even by emulation");
    return (await bootMs(sector, "kvm", tcgMs)) === null ? "tcg" : "kvm";
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** How long the sector took to count and to leave; null when it did not in time. */
async function bootMs(sector: string, accel: Accelerator, timeoutMs: number): Promise<number | null> {
  const quiet = ["-nodefaults", "-display", "none", "-no-reboot", "-m", "16"];
  const exit = ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"];
  const drive = ["-drive", `format=raw,file=${sector},if=ide,snapshot=on`];
  const startMs = performance.now();
  try {
    const ended = await run(["qemu-system-x86_64", "-accel", accel, ...quiet, ...exit, ...drive], timeoutMs);
    return ended.status === EXIT_STATUS ? performance.now() - startMs : null;
  } catch {
    return null;
  }
}

const EXIT_CODE = 0x10;
const EXIT_STATUS = (EXIT_CODE << 1) | 1; // as isa-debug-exit makes it

function bootSector(): Buffer {
  const code = [
    [0x66, 0xb9, 0x00, 0x00, 0x00, 0x08], // mov ecx, 0x08000000
    [0x66, 0x49], // dec ecx
    [0x75, 0xfc], // jnz, back to dec
    [0xba, 0xf4, 0x00], // mov dx, 0xf4
    [0xb0, EXIT_CODE], // mov al, EXIT_CODE
    [0xee], // out dx, al
    [0xf4, 0xeb, 0xfd], // hlt, for ever
  ].flat();
  const sector = Buffer.alloc(512);
  Buffer.from(code).copy(sector);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}
