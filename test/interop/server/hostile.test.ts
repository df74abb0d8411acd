/**
 * Floods, against a server that runs as a process of its own; bench/hostile measures what these do
 * not time.
 */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { nightlatch, type Served, serve } from "../../support/serve.ts";
import { type EnrolledLatch, enrolAt, exchangeRaw, randomPoint, rawRequest } from "../../support/server/client.ts";

const CONNECTIONS = 60;
const BODY = JSON.stringify({ alg: "ECMR", ...randomPoint() });

/** Whoever sends and reads nothing: what the server keeps of it is the server's loss. */
async function flood(server: Served, requests: Buffer): Promise<Disposable> {
  const { hostname, port } = new URL(server.url);
  const sockets = await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const socket = connect({ host: hostname, port: Number(port) });
      socket.on("error", () => {});
      await once(socket, "connect");
      socket.pause();
      socket.write(requests);
      return socket;
    }),
  );
  return {
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

const ask = async (server: Served, { recovery }: EnrolledLatch) =>
  (await exchangeRaw(server.url, rawRequest("POST", recovery, BODY))).status;

function peakMiB({ process: { pid } }: Served): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

for (const [what, isKnown] of [
  ["the latch itself", true],
  ["a made-up latch", false],
] as const) {
  test(`requests without end on many connections, for ${what}: the operator's revocation holds, others are served`, async () => {
    await using server = await serve();
    const [latch, other] = [await enrolAt(server, "nas"), await enrolAt(server, "pi")];
    const path = isKnown ? latch.recovery : "/latch/AAAAAAAAAAAAAAAAAAAAAA/rec/AAAA";
    const request = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`;
    using _flood = await flood(server, Buffer.from(request.repeat(5000)));
    assert.equal(await ask(server, other), 200);
    const { status, stderr } = await nightlatch("machine", "revoke", "nas", "--yes", "--admin", server.admin);
    assert.equal(status, 0, stderr);
    assert.equal(await ask(server, latch), 410);
    assert.equal(await ask(server, other), 200);
    assert.ok(peakMiB(server) < 300, `${peakMiB(server)} MiB`);
  });
}

test("bodies in chunks of one byte: the operator's door and others are served, and memory stays what it was", async () => {
  await using server = await serve();
  const latch = await enrolAt(server, "nas");
  const head = `POST ${latch.recovery} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`;
  using _flood = await flood(server, Buffer.from(head + "1\r\na\r\n".repeat(65_000)));
  for (let count = 0; count < 5; count++) {
    assert.equal(await ask(server, latch), 200);
    await server.json("machine", "list");
  }
  assert.ok(peakMiB(server) < 300, `${peakMiB(server)} MiB`);
});

test("where few files may be open, connections leave enough for the operator and the store", async () => {
  await using server = await serve({ through: ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh"] });
  const latch = await enrolAt(server, "nas");
  const { hostname, port } = new URL(server.url);
  const sockets = Array.from({ length: 600 }, () => connect({ host: hostname, port: Number(port) }));
  for (const socket of sockets) socket.on("error", () => {});
  assert.equal(await ask(server, latch), 200);
  for (const verb of ["lock", "unlock", "revoke"]) await server.json("machine", verb, "nas");
  assert.equal(await ask(server, latch), 410);
  for (const socket of sockets) socket.destroy();
});

const noNamespace = spawnSync("unshare", ["-n", "true"]).status === 0 ? false : "no network namespace can be made here";

test("one host with a /64 has the connections of one host", { skip: noNamespace }, async () => {
  const prepare =
    'ip link set lo up && ip -6 route add local fd99::/64 dev lo && echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind && exec "$@"';
  const script = join(import.meta.dirname, "../../support/server/slash64.ts");
  const args = [
    "-n",
    "sh",
    "-c",
    prepare,
    "sh",
    process.execPath,
    "--disable-warning=ExperimentalWarning",
    script,
    "1100",
  ];
  const { stdout } = await promisify(execFile)("unshare", args);
  const { opened, cut, status } = JSON.parse(stdout) as { opened: number; cut: number; status: number };
  assert.equal(status, 200);
  assert.equal(opened, 1100);
  assert.ok(cut >= 1100 - 1024, `${cut} were cut`);
});
