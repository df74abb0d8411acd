// @ts-nocheck
import type { System } from "../system/port.ts";

const SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/**
 * Whether the firmware checks what it starts (UEFI 2.10, 3.3). The variable's value is one byte,
 * behind four of attributes.
 * @throws NightlatchError file/*
 */
export async function isSecureBoot(system: Pick<System, "readFileIfPresent">): Promise<boolean> {
  return (await system.readFileIfPresent(SECURE_BOOT, 64))?.[4] === 1;
}
