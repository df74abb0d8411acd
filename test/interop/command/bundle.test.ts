import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createECDH } from "node:crypto";
import { once } from "node:events";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { request as forward } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { before, describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { agentNodeFlags } from "../../../script/agent-unit.ts";
import { fetchKey } from "../../../script/key-client.ts";
import { formatCardRequest, parseCardAnswer } from "../../../src/formats/pkcs11/exchange.ts";
import { readVolumeHeader } from "../../../src/luks/header/header.ts";
import { jobsIn, makeRoomForJobs } from "../../../src/server/exchange/jobs.ts";
import { nodeExchange } from "../../../src/server/exchange/node.ts";
import { SCALAR_BYTES } from "../../../src/server/exchange/port.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { makeState } from "../../support/luks-change.ts";
import { nightlatch, serve } from "../../support/serve.ts";
import { noTangd, startTangd } from "../../support/tangd.ts";
import { makeFolder, makeVolume, opens, PASSPHRASE, runTool } from "../../support/volumes.ts";

const SCRIPT = resolve(import.meta.dirname, "../../../script/bundle");
const folder = makeFolder();
const bundle = join(folder, "bundle");
const state = makeState(folder);
const inBundle = (path: string) => join(bundle, path);

describe("the bundle", () => {
  before(() => make(bundle));

  test("runs the command without anything else of the checkout", () => {
    const run = (...args: string[]) =>
      spawnSync(process.execPath, [inBundle("lib/nightlatch.mjs"), ...args], { cwd: folder, encoding: "utf8" });
    assert.match(run("--version").stdout, /^nightlatch \d+\.\d+\.\d+\n$/);
    assert.match(run("serve", "--help").stdout, /^usage: nightlatch serve/);
    assert.equal(run("status", "/dev/null").status, 1);
  });

  test("the agent's bytecode is accepted by the Node that it was made with, as the unit starts it", () => {
    const look = `const { readFileSync } = require("node:fs"); const { Script } = require("node:vm");
      const cachedData = readFileSync("agent-program.cache");
      process.stdout.write(String(new Script(readFileSync("agent-program.cjs", "utf8"), { cachedData }).cachedDataRejected));`;
    const argv = [...agentNodeFlags(), "--eval", look];
    assert.equal(spawnSync(process.execPath, argv, { cwd: inBundle("lib"), encoding: "utf8" }).stdout, "false");
  });

  test("the thread that multiplies does so, from a file of its own", async () => {
    await using worker = new Worker(inBundle("lib/exchange.cjs"), { env: {} });
    assert.deepEqual(await once(worker, "message"), ["started"]);
    const [memory, point] = [makeRoomForJobs(2), createECDH("prime256v1").generateKeys()];
    for (const job of jobsIn(memory)) {
      job.scalar.fill(7);
      point.copy(job.point);
    }
    worker.postMessage(memory, [memory]);
    const [answer] = (await once(worker, "message")) as [ArrayBuffer];
    for (const job of jobsIn(answer)) {
      assert.deepEqual(job.scalar, Buffer.alloc(SCALAR_BYTES));
      assert.deepEqual(job.point, nodeExchange.multiply(Buffer.alloc(SCALAR_BYTES, 7), point));
    }
  });

  test("the program that loads a card's driver answers, and ends itself", () => {
    const request = formatCardRequest({
      module: "/usr/lib/nowhere.so",
      token: { token: "ops" },
      object: {},
      task: { kind: "describe" },
      attended: true,
      pin: null,
    });
    const program = inBundle("lib/pkcs11.cjs");
    const { signal, stdout, stderr } = spawnSync(process.execPath, [program], { cwd: folder, input: request.reveal() });
    assert.deepEqual([signal, stderr.toString()], ["SIGKILL", ""]);
    assert.equal(parseCardAnswer(stdout).outcome, "no-driver");
  });

  test("the same checkout makes the same bytes", () => {
    const again = join(folder, "again");
    make(again);
    for (const file of ["lib/agent-program.cjs", "lib/agent-program.cache", "lib/nightlatch.mjs"]) {
      assert.ok(readFileSync(inBundle(file)).equals(readFileSync(join(again, file))), file);
    }
  });

  test("the agent gives a key when a connection starts it, with its bytecode, with that of another program, without", async () => {
    const cache = inBundle("lib/agent-program.cache");
    await assertServes("own");
    const own = readFileSync(cache);
    own.fill(0, 0, 64);
    writeFileSync(cache, own);
    await assertServes("foreign");
    rmSync(cache);
    await assertServes("none");
    make(bundle);
  });

  test("the agent opens what is bound to a latch and to a tang, and node:crypto is not loaded for it", async (t) => {
    await using server = await serve();
    const passphrase = join(folder, "passphrase");
    writeFileSync(passphrase, PASSPHRASE);
    const hook = join(folder, "hook.cjs");
    const loaded = join(folder, "loaded");
    // What is loaded when the key goes out, with the socket's end. What comes behind it, such as a
    // receipt, keeps no boot waiting.
    writeFileSync(
      hook,
      `const { Socket } = require("net");
      const end = Socket.prototype.end;
      Socket.prototype.end = function (...parts) {
        if (parts[0] instanceof Uint8Array) require("fs").writeFileSync("${loaded}", process.moduleLoadList.join("\\n"));
        return end.apply(this, parts);
      };`,
    );
    const assertOpens = async (name: string, image: string) => {
      const key = await askAgent(name, name, { crypttab: `${name} ${image} - luks\n`, node: ["--require", hook] });
      assert.ok(opens(image, key, 1), name);
      const modules = readFileSync(loaded, "utf8").split("\n");
      assert.deepEqual([modules.includes("NativeModule net"), modules.includes("NativeModule crypto")], [true, false]);
      // The second time nothing is left to be put on record; the first time it was.
      const { uuid } = await readVolumeHeader(nodeSystem, image);
      const record = JSON.parse(readFileSync(join(state, `volume-${uuid}.json`), "utf8"));
      assert.deepEqual(record.names, [name]);
    };

    const latch = makeVolume(folder, "latch.img", "luks2");
    const invite = String((await server.json("machine", "invite", "machine"))["invite"]);
    const bind = ["bind", latch, "latch", invite, "--key-file", passphrase, "--state", state];
    assert.equal((await nightlatch(...bind)).status, 0);
    await assertOpens("latch", latch);

    if (noTangd !== false) return t.diagnostic(noTangd);
    await using tangd = await startTangd();
    const tang = makeVolume(folder, "tang.img", "luks2");
    const pin = ["tang", JSON.stringify({ url: tangd.url })];
    runTool(["clevis", "luks", "bind", "-y", "-k", passphrase, "-d", tang, ...pin]);
    await assertOpens("tang", tang);
  });

  test("the agent opens by a server behind https, with the system's certificates", { skip: noTangd }, async () => {
    await using tangd = await startTangd();
    const [key, cert] = [join(folder, "tls-key.pem"), join(folder, "tls-cert.pem")];
    const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    runTool(["openssl", "req", "-x509", ...curve, ...names, "-keyout", key, "-out", cert]);
    const front = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
      const { method = "", url = "", headers } = request;
      const behind = forward(`${tangd.url}${url}`, { method, headers: { ...headers, host: "localhost" } }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, { "content-type": answer.headers["content-type"] ?? "" });
        answer.pipe(response);
      });
      request.pipe(behind);
    });
    front.listen(0, "127.0.0.1");
    await once(front, "listening");
    try {
      const image = makeVolume(folder, "https.img", "luks2");
      const passphrase = join(folder, "passphrase");
      writeFileSync(passphrase, PASSPHRASE);
      const advertisement = join(folder, "adv.jws");
      writeFileSync(advertisement, await (await fetch(`${tangd.url}/adv`)).text());
      const { port } = front.address() as AddressInfo;
      const pin = ["tang", JSON.stringify({ url: `https://localhost:${port}`, adv: advertisement })];
      runTool(["clevis", "luks", "bind", "-y", "-k", passphrase, "-d", image, ...pin]);
      const around = ["-E", `SSL_CERT_FILE=${cert}`];
      const crypttab = `https ${image} - luks\n`;
      const given = await askAgent("https", "https", { crypttab, around });
      assert.ok(opens(image, given, 1));
    } finally {
      front.close();
    }
  });
});

function make(out: string): void {
  const { status, stderr } = spawnSync(SCRIPT, [out], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
}

async function assertServes(name: string): Promise<void> {
  const key = join(folder, "key");
  writeFileSync(key, "a key");
  const exec = { crypttab: "v /nowhere - luks\n", config: `[volume.v]\nexec = ["cat", "${key}"]\n` };
  assert.equal(String(await askAgent(name, "v", exec)), "a key", name);
}

/** Starts the agent by a connection that asks for one volume, and waits for its end. */
async function askAgent(
  name: string,
  volume: string,
  {
    crypttab,
    config = "",
    node = [],
    around = [],
  }: { crypttab: string; config?: string; node?: readonly string[]; around?: readonly string[] },
): Promise<Buffer> {
  const socket = join(folder, `${name}.sock`);
  writeFileSync(join(folder, "crypttab"), crypttab);
  writeFileSync(join(folder, "agent.toml"), config);
  const options = [
    "--crypttab",
    join(folder, "crypttab"),
    "--config",
    join(folder, "agent.toml"),
    "--state",
    state,
    "--idle",
    "1",
  ];
  const agent = [process.execPath, ...agentNodeFlags(), ...node, inBundle("lib/agent.cjs"), ...options];
  const child = spawn("systemd-socket-activate", ["-l", socket, ...around, ...agent], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const lines = createInterface(child.stderr);
  while (!/Listening on/.test(String((await once(lines, "line"))[0]))); // the socket's file is there before it takes connections
  const ended = once(child, "exit");
  const key = await fetchKey({ socket, volume });
  assert.deepEqual((await ended)[0], 0, "it ends by itself when idle");
  return key;
}
