// @ts-nocheck
import { createECDH } from "node:crypto";
import { nodeExchange } from "./node.ts";
import { openOpensslExchange } from "./openssl.ts";
import type { Exchange } from "./port.ts";

/**
 * Gives the fastest exchange that works here. A foreign function answers whatever its prototype
 * claims, so OpenSSL's must first give what node:crypto gives, for points and scalars that are
 * drawn now.
 */
export function chooseExchange(): Exchange {
  const openssl = openOpensslExchange();
  return openssl !== null && agree(openssl, nodeExchange) ? openssl : nodeExchange;
}

const TRIALS = 4;

function agree(one: Exchange, other: Exchange): boolean {
  for (let trial = 0; trial < TRIALS; trial++) {
    const [server, client] = [createECDH("prime256v1"), createECDH("prime256v1")];
    server.generateKeys();
    const point = client.generateKeys();
    const scalar = Buffer.alloc(32);
    const key = server.getPrivateKey();
    key.copy(scalar, scalar.length - key.length);
    if (!one.multiply(scalar, point).equals(other.multiply(scalar, point))) return false;
  }
  return true;
}
