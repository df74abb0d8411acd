/** A store with a fleet in it, without a log of how it came there. */
import { createECDH, randomBytes } from "node:crypto";
import Database from "better-sqlite3";
import { thumbprintOf } from "../../src/formats/jose/jwk.ts";
import { identityThumbprint } from "../../src/formats/own/enrolment.ts";
import { openFolder } from "../../src/server/store/folder/folder.ts";
import { storePath } from "../../src/server/store/folder/paths.ts";
import { nodeSystem } from "../../src/system/node.ts";
import { identityOf } from "./plan.ts";

const TIMEOUT_MS = 3_600_000;

/** How large the fleet is. */
export interface FleetSize {
  readonly machines: number;
  /** How many of them have a latch: the first ones. */
  readonly withLatch: number;
  /** How many of those that come first have an identity that `identityOf` gives. */
  readonly withIdentity: number;
}

/**
 * Makes a store of machines under `alive`, all of them heard just now. Their latches have one key,
 * each wrapped with a cell of its own.
 * @returns the paths of `POST /rec/{kid}`
 */
export async function makeFleet(folder: string, { machines, withLatch, withIdentity }: FleetSize): Promise<string[]> {
  const uid = process.geteuid?.() ?? 0;
  await (await openFolder(nodeSystem, folder, { uid })).store.close();
  const opened = await openFolder(nodeSystem, folder, { uid });
  const ecdh = createECDH("prime256v1");
  const point = ecdh.generateKeys();
  const scalar = Buffer.alloc(32);
  const key = ecdh.getPrivateKey();
  key.copy(scalar, 32 - key.length);
  const [x, y] = [point.toString("base64url", 1, 33), point.toString("base64url", 33)];
  const jwk = { kty: "EC", crv: "P-256", x, y } as const;
  const kid = thumbprintOf(jwk);
  const latches = Array.from({ length: withLatch }, () => {
    const [id, cell] = [randomBytes(16).toString("base64url"), opened.cells.take()];
    return { id, cell, wrapped: opened.cells.wrap(cell, scalar, { purpose: "exchange", id, epoch: 1 }) };
  });
  await opened.store.close();
  const database = new Database(storePath(folder));
  const now = Date.now();
  const machine = database.prepare(
    `insert into machine (id, name, state, epoch, enrolled_ms, policy, leases, seen_ms,
       alive_timeout, alive_until, alive_saved, alive_made_at, alive_extended)
     values (?, ?, 'active', 1, ${now}, 'alive', 0, ${now}, ${TIMEOUT_MS}, ${now + TIMEOUT_MS}, ${now}, 1, 0)`,
  );
  const latch = database.prepare(
    `insert into latch (id, machine, volume, state, epoch, nonce, created_ms, advertisement, cell)
     values (?, ?, 'bench', 'active', 1, ?, ${now}, '{}', ?)`,
  );
  const latchKey = database.prepare(
    "insert into latch_key (latch, epoch, purpose, kid, jwk, wrapped) values (?, 1, 'exchange', ?, ?, ?)",
  );
  database.transaction(() => {
    for (let number = 0; number < machines; number++) {
      const id = number < withIdentity ? identityThumbprint(identityOf(number)) : randomBytes(32).toString("base64url");
      machine.run(id, `m${number}`);
      const own = latches[number];
      if (own === undefined) continue;
      latch.run(own.id, id, randomBytes(16).toString("base64url"), own.cell);
      latchKey.run(own.id, kid, JSON.stringify(jwk), own.wrapped);
    }
  })();
  database.close();
  return latches.map(({ id }) => `/latch/${id}/rec/${kid}`);
}
