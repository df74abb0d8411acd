/** The network card that reaches a volume's key servers, and what it is given before the root. */
// @ts-nocheck

export interface FixedNetwork {
  /** Its name, as the running system has it. */
  readonly card: string;
  /** Null where another one is drawn at each start. */
  readonly mac: string | null;
  /** Each with the length of its prefix: `192.0.2.10/24`. */
  readonly addresses: readonly string[];
  /** At most one of IPv4 and one of IPv6. */
  readonly gateways: readonly string[];
  readonly nameServers: readonly string[];
}

/** What the file says where its address is no longer a fixed one. */
export const NO_FIXED_NETWORK = `nightlatch_card=""\n`;

/**
 * Writes a fixed network down as the hooks of the initramfs read it:
 * docs/format/initramfs-network.md.
 */
export function formatFixedNetwork({ card, mac, addresses, gateways, nameServers }: FixedNetwork): string {
  return [
    `nightlatch_card="${card}"`,
    `nightlatch_mac="${mac ?? ""}"`,
    `nightlatch_addresses="${addresses.join(" ")}"`,
    `nightlatch_gateways="${gateways.join(" ")}"`,
    `nightlatch_dns="${nameServers.join(" ")}"`,
    "",
  ].join("\n");
}
