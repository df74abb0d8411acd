// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { printable } from "../../core/text.ts";
import type { VolumeHeader } from "./header.ts";

/**
 * Matches what cryptsetup knows, to version 2.8 (lib/luks2/luks2_internal.h): it opens such a
 * volume, or says itself why it does not.
 */
const KNOWN = /^(?:offline-reencrypt|online-reencrypt(?:-v[0-9]+)?|inline-hw-tags|opal)$/;

/**
 * Refuses to change a header that asks for more than plain LUKS2: a reencryption is under way, or
 * there is a feature that a change could break.
 * @throws NightlatchError luks/requirements
 */
export function refuseRequirements(header: VolumeHeader, device: string): void {
  if (header.version === 2) refuse(header.requirements, device);
}

/**
 * Refuses to open a volume that asks for what cryptsetup does not know. What it knows is left to
 * it.
 * @throws NightlatchError luks/requirements
 */
export function refuseUnknownRequirements(header: VolumeHeader, device: string): void {
  if (header.version === 2) {
    refuse(
      header.requirements.filter((name) => !KNOWN.test(name)),
      device,
    );
  }
}

/**
 * Tells a person what a header demands beyond plain LUKS2, and what to do about it; null where it
 * demands nothing.
 */
export function describeRequirements(
  header: VolumeHeader,
  device: string,
): { readonly text: string; readonly remedy: string | null } | null {
  if (header.version === 1 || header.requirements.length === 0) return null;
  const names = quote(header.requirements);
  if (!reencrypts(header.requirements)) return { text: `its header requires ${names}`, remedy: null };
  return {
    text: `a reencryption is under way (${names}): until its end no binding is made or removed, and no reboot staged`,
    remedy: `Finish it: ${resume(device)}`,
  };
}

function refuse(requirements: readonly string[], device: string): void {
  if (requirements.length === 0) return;
  throw new NightlatchError("luks/requirements", `${device}: the volume's header requires ${quote(requirements)}`, {
    meaning: reencrypts(requirements) ? "A reencryption is under way. Nothing was changed." : "Nothing was changed.",
    remedy: reencrypts(requirements)
      ? `Finish it first: ${resume(device)}`
      : "Use a Nightlatch and a cryptsetup that know what this means.",
  });
}

const quote = (names: readonly string[]): string => names.map((name) => JSON.stringify(printable(name, 40))).join(", ");
const reencrypts = (names: readonly string[]): boolean =>
  names.some((name) => /^(?:online|offline)-reencrypt/.test(name));
const resume = (device: string): string => `cryptsetup reencrypt --resume-only ${device}`;
