import { createECDH, generateKeyPairSync, type KeyObject } from "node:crypto";
import { toBase64url } from "../../../core/bytes.ts";
import { Secret } from "../../../core/secret.ts";
import { CURVES } from "../../../formats/jose/curve.ts";
import { type EcPublicJwk, exportPublicJwk, thumbprintOf } from "../../../formats/jose/jwk.ts";
import { LATCH_ID_BYTES } from "../../../formats/own/enrolment.ts";
import { isUsableScalar } from "../../../formats/tang/ecmr.ts";
import { buildAdvertisement } from "../../../formats/tang/tang.ts";
import { SCALAR_BYTES } from "../../exchange/port.ts";
import type { KeyPurpose, KeyRow, LatchRow } from "../../store/rows.ts";
import type { Service } from "../service.ts";

/** The epoch of a latch's first keys. */
const FIRST_EPOCH = 1;

/**
 * Makes a latch for a machine's volume: its exchange key, its signing key, and what it will
 * advertise. Nothing is recorded yet.
 * @throws NightlatchError store/full, store/io
 */
export function makeLatch(
  service: Pick<Service, "system" | "cells">,
  of: { readonly machineId: string; readonly nonce: string; readonly volume: string },
): { readonly latch: LatchRow; readonly keys: readonly [exchange: KeyRow, signing: KeyRow] } {
  const id = toBase64url(service.system.random(LATCH_ID_BYTES));
  const { cell, keys, advertisement } = makeKeys(service, { id, epoch: FIRST_EPOCH });
  return {
    latch: {
      id,
      machineId: of.machineId,
      volume: of.volume,
      state: "active",
      epoch: FIRST_EPOCH,
      nonce: of.nonce,
      createdMs: service.system.nowMs(),
      advertisement,
      cell,
      use: null,
    },
    keys,
  };
}

/** The keys of one epoch of a latch, what they are wrapped with, and what tells of them. */
interface MadeKeys {
  readonly cell: number;
  readonly keys: readonly [exchange: KeyRow, signing: KeyRow];
  readonly advertisement: string;
}

/**
 * Makes the keys of one epoch of a latch. Nothing is recorded yet.
 * @param of.former the signing key of the epoch before, which vouches for these: whoever trusts it
 *   needs nobody's word for them
 * @throws NightlatchError store/full, store/io
 */
export function makeKeys(
  service: Pick<Service, "cells">,
  { id, epoch, former }: { readonly id: string; readonly epoch: number; readonly former?: KeyObject },
): MadeKeys {
  const cell = service.cells.take();
  const wrapped = (purpose: KeyPurpose, publicJwk: EcPublicJwk, bytes: Secret): KeyRow => {
    using plain = bytes;
    const wrappedKey = service.cells.wrap(cell, plain.reveal(), { purpose, id, epoch });
    return { purpose, epoch, kid: thumbprintOf(publicJwk), publicJwk: JSON.stringify(publicJwk), wrapped: wrappedKey };
  };
  const exchange = newExchangeKey();
  const signing = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const signingJwk = exportPublicJwk(signing) as EcPublicJwk;
  const keys = { signing: [signingJwk], exchange: [exchange.publicJwk] };
  const advertisement = buildAdvertisement(keys, former === undefined ? [signing] : [signing, former]);
  return {
    cell,
    keys: [
      wrapped("exchange", exchange.publicJwk, exchange.scalar),
      wrapped("signing", signingJwk, Secret.take(signing.export({ format: "der", type: "pkcs8" }))),
    ],
    advertisement: JSON.stringify(advertisement),
  };
}

function newExchangeKey(): { readonly scalar: Secret; readonly publicJwk: EcPublicJwk } {
  const curve = CURVES["P-256"];
  const ecdh = createECDH(curve.opensslName);
  const point = ecdh.generateKeys();
  const key = ecdh.getPrivateKey(); // without leading zeros
  const scalar = Buffer.alloc(SCALAR_BYTES);
  key.copy(scalar, SCALAR_BYTES - key.length);
  key.fill(0);
  if (!isUsableScalar(curve, scalar)) return newExchangeKey();
  const [x, y] = [point.subarray(1, 1 + SCALAR_BYTES), point.subarray(1 + SCALAR_BYTES)];
  return {
    scalar: Secret.take(scalar),
    publicJwk: { kty: "EC", crv: curve.name, x: toBase64url(x), y: toBase64url(y) },
  };
}
