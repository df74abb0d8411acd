/** A machine whose server's log is cosigned by witnesses that are keys alone. */
import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { askAll } from "../../../src/agent/receipts.ts";
import { cosign } from "../../../src/formats/log/cosignature.ts";
import { COSIGNATURE, formatVerifier } from "../../../src/formats/log/note.ts";
import type { WitnessConfig } from "../../../src/formats/own/agent-config.ts";
import { identityThumbprint } from "../../../src/formats/own/enrolment.ts";
import { buildReceiptAnswer, parseReceiptRequest } from "../../../src/formats/own/receipt.ts";
import { formatVolumeRecord } from "../../../src/formats/own/volume-record.ts";
import { askReceipt } from "../../../src/pins/latch/receipt.ts";
import { answerReceipt } from "../../../src/server/machine-api/receipt.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { enrolled, type OpenService } from "./harness.ts";

export interface TestWitness {
  readonly name: string;
  readonly privateKey: KeyObject;
  readonly verifier: string;
}

export function newWitness(name: string, pair = generateKeyPairSync("ed25519")): TestWitness {
  return { name, privateKey: pair.privateKey, verifier: formatVerifier(name, pair.publicKey, COSIGNATURE) };
}

/** Has witnesses sign the log as it is now. */
export async function signedBy(service: OpenService, witnesses: readonly TestWitness[]): Promise<number> {
  return service.store.transact(async (transaction) => {
    const checkpoint = await transaction.checkpoint();
    assert.ok(checkpoint !== null);
    for (const { name, privateKey } of witnesses) {
      const url = "http://192.0.2.5:7654";
      await transaction.setWitness({ name, publicKey: createPublicKey(privateKey), url, seen: checkpoint.size });
      await transaction.insertCosignature(checkpoint.size, name, cosign(checkpoint, 1_800_000_000, privateKey));
    }
    return checkpoint.size;
  });
}

export const ONE = { need: 1, missing: "tell" } as const;

/** A machine's folder, with its record of a server and a volume, and a line to that server. */
export async function machineAt(home: string, service: OpenService) {
  const { machine, latch } = await enrolled(service, "nas");
  const state = join(home, "state");
  mkdirSync(state);
  writeFileSync(join(state, "identity.key"), machine.identity.export({ format: "der", type: "pkcs8" }));
  const thumbprint = identityThumbprint(service.identity);
  const url = "http://192.0.2.9:7654";
  writeFileSync(
    join(state, `server-${thumbprint}.json`),
    JSON.stringify({ url, thp: thumbprint, machine: machine.id, name: "nas" }),
  );
  const server = { url, thumbprint, machine: machine.id, name: "nas" };
  let isDown = false;
  let slept = 0;
  const system = {
    ...nodeSystem,
    sleep: async (delayMs: number) => {
      slept += delayMs;
    },
    monotonicMs: () => slept,
    request: async ({ url: asked, body }: { url: string; body?: Uint8Array | (() => Uint8Array) }) => {
      if (isDown) return { status: 500, contentType: "", body: Buffer.alloc(0) as Buffer };
      const id = /\/machine\/(.*)\/receipt$/.exec(asked)?.[1] ?? "";
      const reply = await answerReceipt(service, id, Buffer.from(body as Uint8Array));
      return { status: reply.status, contentType: "", body: Buffer.from(reply.body) as Buffer };
    },
  };
  const witnessed = async (witness: WitnessConfig) => {
    const proved = await askReceipt(system, state, server, latch.latchId, { timeoutMs: 1000, witness });
    return proved?.witnessed ?? null;
  };
  const record = {
    volume: "volume-1",
    key: "A".repeat(43),
    cipher: "aes",
    names: [],
    latches: [{ url: `${url}/latch/${latch.latchId}`, server: thumbprint }],
    by: "person",
    atMs: 0,
  } as const;
  writeFileSync(join(state, `volume-${record.volume}.json`), formatVolumeRecord(record));
  const afterwards = async (witness: WitnessConfig) => {
    const lines: string[] = [];
    const log = (level: string, text: string) => lines.push(`${level}: ${text}`);
    const { signal } = new AbortController();
    await askAll(system, record, { stateFolder: state, signal, log, timeoutMs: 1000, witness });
    return lines.join("\n");
  };
  return {
    latch,
    state,
    server,
    system,
    witnessed,
    afterwards,
    goDown: (down: boolean) => {
      isDown = down;
    },
  };
}

/** Has the server show something else than what was cosigned; gives what changes it, each time. */
export function tampering({ system }: Awaited<ReturnType<typeof machineAt>>, { identity }: OpenService) {
  const honest = system.request;
  return (how: (cosigned: { note: string; growth: string[] }) => object | null) => {
    system.request = async (request) => {
      const reply = await honest(request);
      const { payload } = JSON.parse(String(reply.body)) as { payload: string };
      const said = JSON.parse(String(Buffer.from(payload, "base64url")));
      const bytes = (text: string) => Buffer.from(text, "base64url");
      const entry = (json: { number: number; body: string; proof: string[] } | null) =>
        json === null ? null : { number: json.number, body: bytes(json.body), proof: json.proof.map(bytes) };
      const changed = how(said.cosigned) as { note: string; growth: string[] } | null;
      const body = Buffer.from(request.body as Uint8Array);
      assert.equal(parseReceiptRequest(body).cosigned, 1);
      const answer = {
        note: said.note,
        release: entry(said.release),
        growth: said.growth?.map(bytes) ?? null,
        rollback: entry(said.rollback),
        cosigned: changed === null ? null : { note: changed.note, growth: changed.growth.map(bytes) },
      };
      return { ...reply, body: buildReceiptAnswer(identity, body, answer) };
    };
  };
}
