/** The servers that are measured, each with targets that are valid requests. */
import { spawnSync } from "node:child_process";
import { createECDH, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { thumbprintOf } from "../../src/formats/jose/jwk.ts";
import { type Json, parseJson } from "../../src/formats/json/json.ts";
import { buildEnrolRequest, buildLatchRequest, identityThumbprint } from "../../src/formats/own/enrolment.ts";
import { parseInvite } from "../../src/formats/own/invite.ts";
import { parseAdvertisement } from "../../src/formats/tang/tang.ts";
import { type Served, serve } from "../../test/support/serve.ts";
import { startTangd } from "../../test/support/tangd.ts";

export interface Peer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly paths: readonly string[];
  readonly bodies: readonly string[];
  /** Whose CPU time counts. */
  readonly pid: number;
}

const LATCHES_OF_A_MACHINE = 64;
const POINTS = 512;

/** What our server of a bench is to be like. */
interface OurWish {
  /** Further arguments of `nightlatch serve`. */
  readonly args?: readonly string[];
  /** Another checkout's bin/nightlatch. */
  readonly command?: string;
  /** Is called with each machine once it has its latches. */
  readonly onMachine?: (served: Served, machine: OurMachine) => Promise<void>;
}

/** A machine of the bench. */
interface OurMachine {
  readonly number: number;
  readonly name: string;
  readonly identity: KeyObject;
  /** The line that it was enrolled with. */
  readonly invite: string;
  /** Of its latches. */
  readonly paths: readonly string[];
}

/** Our server with a fleet of latches. */
export async function startOurs(
  latches: number,
  { args = [], command, onMachine = async () => {} }: OurWish = {},
): Promise<Peer & { readonly served: Served }> {
  const served = await serve({ args, ...(command === undefined ? {} : { command }) });
  const paths: string[] = [];
  for (let number = 0; paths.length < latches; number++) {
    const name = `bench-${number}`;
    const { invite } = await served.json("machine", "invite", name);
    const { id, key } = parseInvite(String(invite));
    const identity = generateKeyPairSync("ed25519").privateKey;
    const wish = () => ({ nonce: randomBytes(16), volume: "bench" });
    const own = [await bind(served.url, "/enroll", buildEnrolRequest(identity, { id, key }, wish()))];
    while (own.length < Math.min(LATCHES_OF_A_MACHINE, latches - paths.length)) {
      const path = `/machine/${identityThumbprint(identity)}/latch`;
      own.push(await bind(served.url, path, buildLatchRequest(identity, wish())));
    }
    await onMachine(served, { number, name, identity, invite: String(invite), paths: own });
    paths.push(...own);
  }
  const { hostname, port } = new URL(served.url);
  return {
    host: hostname,
    port: Number(port),
    paths,
    bodies: points("P-256"),
    pid: served.process.pid ?? 0,
    served,
    [Symbol.asyncDispose]: () => served[Symbol.asyncDispose](),
  };
}

/**
 * The recovery path of the latch that was bound. The bench trusts its own server: the signature is
 * not checked.
 */
async function bind(url: string, path: string, body: Buffer): Promise<string> {
  const answer = await fetch(url + path, { method: "POST", body: new Uint8Array(body) });
  if (answer.status !== 200) throw new Error(`${path} was answered ${answer.status}`);
  const { payload } = (await answer.json()) as { payload: string };
  const { latch, adv } = JSON.parse(Buffer.from(payload, "base64url").toString()) as { latch: string; adv: Json };
  const [exchange] = parseAdvertisement(adv).exchangeKeys;
  return `/latch/${latch}/rec/${thumbprintOf(exchange)}`;
}

/**
 * tangd as Debian runs it: a process for each connection, as systemd's Accept=yes does; socat is
 * the listener.
 */
export async function startTang(curve: "P-256" | "P-521"): Promise<Peer> {
  const tangd = await startTangd({ exchangeCurve: curve });
  const keys = readdirSync(tangd.keysFolder).map((name) =>
    parseJson(readFileSync(join(tangd.keysFolder, name)), name, { lengthBytes: 4096 }),
  ) as { alg: string; crv: "P-256" | "P-521"; x: string; y: string }[];
  const key = keys.find(({ alg }) => alg === "ECMR");
  if (key === undefined) throw new Error("tangd has no exchange key");
  const { hostname, port } = new URL(tangd.url);
  return {
    host: hostname,
    port: Number(port),
    paths: [`/rec/${thumbprintOf({ kty: "EC", crv: key.crv, x: key.x, y: key.y })}`],
    bodies: points(curve),
    pid: tangd.pid,
    [Symbol.asyncDispose]: () => tangd[Symbol.asyncDispose](),
  };
}

function points(curve: "P-256" | "P-521"): string[] {
  const lengthBytes = curve === "P-256" ? 32 : 66;
  return Array.from({ length: POINTS }, () => {
    const point = createECDH(curve === "P-256" ? "prime256v1" : "secp521r1").generateKeys();
    const coordinate = (index: number) =>
      point.subarray(1 + index * lengthBytes, 1 + (index + 1) * lengthBytes).toString("base64url");
    return JSON.stringify({
      alg: "ECMR",
      crv: curve,
      key_ops: ["deriveKey"],
      kty: "EC",
      x: coordinate(0),
      y: coordinate(1),
    });
  });
}

/** OpenSSL's own figure, per second of CPU time: what an exchange costs with nothing around it. */
export function rawRate(): number {
  const { stdout } = spawnSync("openssl", ["speed", "-seconds", "2", "ecdhp256"], { encoding: "utf8" });
  return Number(/([\d.]+)\s*$/.exec(stdout.trim())?.[1]);
}
