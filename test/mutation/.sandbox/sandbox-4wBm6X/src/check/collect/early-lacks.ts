// @ts-nocheck
import type { Binding } from "../../bindings/binding.ts";
import { readClevis } from "../../bindings/recovery.ts";
import { sharesOf } from "../../bindings/shares.ts";
import { type ClevisTask, clevisLacks, type EarlyLack, hostOf } from "../../boot/initramfs/clevis.ts";
import { readHostNetwork } from "../../boot/initramfs/host-network.ts";
import { byHand } from "../../boot/initramfs/mending.ts";
import { networkLacks } from "../../boot/initramfs/network.ts";
import { lookUpName, type ServerName } from "../../boot/initramfs/server-name.ts";
import type { NextBoot } from "../../boot/next-boot.ts";
import { shellWord, trimEndOf } from "../../core/text.ts";
import { parseClevisPin } from "../../formats/clevis/clevis.ts";
import { parseTangPin } from "../../formats/clevis/tang.ts";
import { thumbprintOf } from "../../formats/jose/jwk.ts";
import type { System } from "../../system/port.ts";
import type { EarlyBoot } from "./early-boot.ts";

interface LackRequest {
  readonly device: string;
  readonly luksVersion: 1 | 2;
  readonly cmdline: string;
  /** Whether every share of a binding is to be usable there, though fewer would open it. */
  readonly everyShare?: boolean;
}

type LackPower = Pick<System, "run" | "readFile">;

/**
 * Lists what the initramfs lacks for one binding of a volume that it opens. Nothing is lacking
 * where as many of its shares as open it lack nothing. `check`, `status` and `reboot --via
 * bindings` all judge by this.
 */
export async function lacksOf(
  system: LackPower,
  next: Pick<NextBoot, "facts">,
  around: Pick<EarlyBoot, "mending" | "drivers">,
  binding: Binding,
  request: LackRequest,
): Promise<EarlyLack[]> {
  const lacks = await lacksOfAll(system, next, around, binding, request);
  const shares = lacks.length === 0 || request.everyShare === true ? null : sharesOf(binding);
  if (shares === null) return lacks;
  const itself = { ...binding, urls: [], early: { pins: [binding.kind], network: false } };
  if ((await lacksOfAll(system, next, around, itself, request)).length > 0) return lacks;
  const each = await Promise.all(shares.children.map((child) => lacksOf(system, next, around, child, request)));
  return each.filter((own) => own.length === 0).length >= shares.threshold ? [] : lacks;
}

/** The same, for a binding of which every share has to be usable. */
async function lacksOfAll(
  system: LackPower,
  { facts }: Pick<NextBoot, "facts">,
  { mending, drivers }: Pick<EarlyBoot, "mending" | "drivers">,
  binding: Binding,
  { device, luksVersion, cmdline }: LackRequest,
): Promise<EarlyLack[]> {
  if (facts === null || facts.generator === null || mending === null) return [];
  const { pins, network, never } = binding.early;
  if (never !== undefined) {
    const remedy = `bind it to a server or the machine's TPM too: nightlatch bind ${shellWord(device)} latch INVITE`;
    return [{ code: "clevis", what: never, ...byHand(remedy) }];
  }
  const names = await lookUpNames(system, binding.urls);
  const task: ClevisTask = {
    pins,
    network,
    urls: binding.urls,
    luksVersion,
    cmdline: `${cmdline} ${facts.ownCmdline}`,
    mending,
    names,
    rebind: (url, address) => rebindSteps(device, binding, url, address),
  };
  const lacks = clevisLacks(facts.generator, facts, task);
  const tpm = pins.includes("tpm2") ? drivers.tpm : null;
  if (!network) return tpm === null ? lacks : [...lacks, tpm];
  const host = await readHostNetwork(
    system,
    [...names.values()].flatMap(({ address }) => address ?? []),
  );
  return [
    ...lacks,
    ...(host === null ? [] : networkLacks(facts, { ...task, host })),
    ...[drivers.network, tpm].filter((lack) => lack !== null),
  ];
}

async function lookUpNames(system: LackPower, urls: readonly string[]): Promise<ReadonlyMap<string, ServerName>> {
  const hosts = [...new Set(urls.map(hostOf))].filter((host) => host !== "");
  return new Map(await Promise.all(hosts.map(async (host) => [host, await lookUpName(system, host)] as const)));
}

/**
 * A binding's address is sealed into it, so that another one is another binding: to the same
 * server, told by its signing key.
 */
function rebindSteps(device: string, binding: Binding, url: string, address: string | null): string {
  if (address === null)
    return `bind it to a server on another machine: nightlatch bind ${shellWord(device)} latch INVITE`;
  if (!/^http:/i.test(url)) return `make ${hostOf(url)} known to DNS, or bind the volume to the server's http address`;
  const other = new URL(url);
  other.hostname = address.includes(":") ? `[${address}]` : address;
  const text = trimEndOf(other.href, "/");
  const thumbprint = trustedKey(binding);
  if (thumbprint === null)
    return `bind it anew, with ${address} in place of ${hostOf(url)}: clevis luks edit, or clevis luks bind`;
  const dev = shellWord(device);
  // A thumbprint may begin with a dash.
  return `nightlatch bind ${dev} tang ${shellWord(text)} --thumbprint=${thumbprint}\nnightlatch unbind ${dev} ${shellWord(url)}`;
}

/**
 * A key that the server signs its advertisement with, as the binding holds it; null for several
 * servers at once.
 */
function trustedKey({ token, kind }: Binding): string | null {
  if (kind !== "latch" && kind !== "tang") return null;
  const [key] = parseTangPin(parseClevisPin(readClevis(token))).signingKeys;
  return key === undefined ? null : thumbprintOf(key);
}
