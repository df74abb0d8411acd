// @ts-nocheck
import { type TpmHash, tpmDigest } from "./hash.ts";
import { u8, u16, u32 } from "./wire.ts";

/** Platform configuration registers of one bank: what a machine measured as it started. */
export interface Registers {
  /** Of the bank. */
  readonly bank: TpmHash;
  /** Their numbers, ascending. */
  readonly numbers: readonly number[];
}

/** What an object is sealed to: these registers, with the values of which that digest was made. */
export interface Measured {
  readonly registers: Registers;
  /** Of the policy. */
  readonly hash: TpmHash;
  readonly policy: Buffer;
  /** Whether the policy asks for the object's authorization value too. */
  readonly withPin: boolean;
}

/** A PC's TPM has registers 0 to 23. */
const REGISTER_COUNT = 24;
const BITMAP_BYTES = 3;

/**
 * Reads a list as clevis and tpm2-tools write it, such as `7,11`; in any order, each number once or
 * more. Null where it is anything else.
 */
export function parseRegisterList(text: string): readonly number[] | null {
  if (text === "all") return Array.from({ length: REGISTER_COUNT }, (_, number) => number);
  if (text.length > 128 || !/^\d{1,2}(?:,\d{1,2})*$/.test(text)) return null;
  const numbers = new Set(text.split(",").map(Number));
  return [...numbers].every((number) => number < REGISTER_COUNT) ? [...numbers].sort((a, b) => a - b) : null;
}

/** Writes a TPML_PCR_SELECTION of these registers. */
export function formatSelection({ bank, numbers }: Registers): Buffer {
  const bitmap = Buffer.alloc(BITMAP_BYTES);
  for (const number of numbers) bitmap[number >> 3] = (bitmap[number >> 3] ?? 0) | (1 << (number & 7));
  return Buffer.concat([u32(1), u16(bank.id), u8(BITMAP_BYTES), bitmap]);
}

/**
 * Gives the digest of a policy that asks for nothing but these values of the registers: what
 * TPM2_PolicyPCR makes of a new session (part 3 section 23.7).
 * @param hash of the session, and of the object that the policy is for
 * @param values one for each register, in their order
 */
export function registerPolicy(hash: TpmHash, registers: Registers, values: readonly Buffer[]): Buffer {
  const start = Buffer.alloc(hash.lengthBytes);
  return tpmDigest(hash, start, u32(CC_POLICY_PCR), formatSelection(registers), tpmDigest(hash, ...values));
}

/**
 * Gives the digest of a policy that asks for the object's authorization value behind what it asked
 * for before: what TPM2_PolicyAuthValue makes of a session (part 3 section 23.12).
 * @param before null: nothing, as in a new session
 */
export function pinPolicy(hash: TpmHash, before: Buffer | null): Buffer {
  return tpmDigest(hash, before ?? Buffer.alloc(hash.lengthBytes), u32(CC_POLICY_AUTH_VALUE));
}

/** TPM_CC of PolicyPCR and PolicyAuthValue, which go into the digests of their policies too. */
export const [CC_POLICY_PCR, CC_POLICY_AUTH_VALUE] = [0x0000017f, 0x0000016b];

/** What makes a register another at a later boot. */
export type RegisterChange =
  | "firmware"
  | "boot loader"
  | "kernel"
  | "initramfs"
  | "Secure Boot keys"
  | "running system";

interface RegisterFacts {
  readonly holds: string;
  readonly changesWith: readonly RegisterChange[];
}

/**
 * What the registers of a PC hold: TCG PC Client Platform Firmware Profile, section 3.3.4, and the
 * Linux TPM PCR registry of the UAPI group.
 */
const FACTS: Readonly<Record<number, RegisterFacts>> = {
  0: { holds: "the firmware's own code", changesWith: ["firmware"] },
  1: { holds: "the firmware's settings and the order of boot", changesWith: ["firmware"] },
  2: { holds: "code of plug-in cards", changesWith: ["firmware"] },
  3: { holds: "settings of plug-in cards", changesWith: ["firmware"] },
  4: { holds: "the boot loader, and a unified kernel image", changesWith: ["boot loader", "kernel"] },
  5: { holds: "the partition table, and the boot loader's settings", changesWith: ["boot loader"] },
  6: { holds: "what the maker of the machine puts there", changesWith: ["firmware"] },
  7: { holds: "whether Secure Boot is on, and its keys", changesWith: ["Secure Boot keys"] },
  8: { holds: "GRUB's commands and the kernel command line", changesWith: ["boot loader", "kernel"] },
  9: { holds: "the kernel and initramfs that were loaded", changesWith: ["boot loader", "kernel", "initramfs"] },
  10: { holds: "what IMA measures while the system runs", changesWith: ["kernel", "running system"] },
  11: { holds: "a unified kernel image, and how far the boot has come", changesWith: ["kernel", "running system"] },
  12: { holds: "the kernel command line and credentials", changesWith: ["kernel"] },
  13: { holds: "extensions of a unified kernel image", changesWith: ["kernel"] },
  14: { holds: "the keys that shim trusts", changesWith: ["boot loader", "Secure Boot keys"] },
  15: { holds: "the volumes that were opened, and the machine's identity", changesWith: ["running system"] },
  16: { holds: "what a debugger measures", changesWith: ["running system"] },
  23: { holds: "what a program measures", changesWith: ["running system"] },
};

/** Tells what makes a register another. Of one that nothing is known of, the running system may. */
export function changesOf(number: number): readonly RegisterChange[] {
  return FACTS[number]?.changesWith ?? ["running system"];
}

/** Those of the registers that such an update makes others. */
export function changedBy(numbers: readonly number[], change: RegisterChange): readonly number[] {
  return numbers.filter((number) => changesOf(number).includes(change));
}

/** Says in words what a register holds, e.g. `whether Secure Boot is on, and its keys`. */
export function holdsOf(number: number): string {
  return FACTS[number]?.holds ?? "what is not laid down";
}
