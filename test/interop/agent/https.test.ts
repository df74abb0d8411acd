/** TLS judged by the system's certificate store. Needs openssl. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createPlainServer } from "node:http";
import { createServer } from "node:https";
import type { Server } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";

const skip: string | false = spawnSync("openssl", ["version"]).status === 0 ? false : "openssl is not installed";
const HTTP = resolve(import.meta.dirname, "../../../src/system/http.ts");

/**
 * Asks in a process of its own, for the store is read once in a process.
 * @returns the status, or the error's code and message
 */
async function ask(url: string, store: string, emptyFolder: string, more: NodeJS.ProcessEnv = {}): Promise<string> {
  const script = `
    const { exchange } = await import(${JSON.stringify(HTTP)});
    await exchange({ method: "GET", url: process.argv[1], timeoutMs: 30000, limitBytes: 100 }).then(
      ({ status }) => console.log(status),
      ({ code, message, remedy }) => console.log(code, message.replace(/^.*?:\\d+ /, "") + "|" + remedy));`;
  const env = { ...process.env, SSL_CERT_FILE: store, SSL_CERT_DIR: emptyFolder, ...more };
  const child = spawn(process.execPath, ["--input-type=module", "-e", script, url], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  return (await text(child.stdout)).trim();
}

const SELF_SIGNED = [
  ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
  ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
];

/**
 * A certificate for localhost of these dates, signed by itself; openssl-req(1) takes dates from 3.4
 * on only, openssl-ca(1) always.
 */
function certify(folder: string, from: string, to: string): { readonly key: Buffer; readonly cert: Buffer } {
  const path = (name: string) => join(folder, name);
  writeFileSync(path("index"), "");
  const policy = "[policy]\ncommonName=supplied\n[names]\nsubjectAltName=DNS:localhost\n";
  writeFileSync(
    path("ca.conf"),
    `[ca]\ndefault_ca=own\n[own]\ndatabase=${path("index")}\nrand_serial=yes\nnew_certs_dir=${folder}\ndefault_md=sha256\npolicy=policy\n${policy}`,
  );
  const run = (...args: string[]) => {
    const made = spawnSync("openssl", args);
    assert.equal(made.status, 0, made.stderr.toString());
  };
  run(...SELF_SIGNED.filter((word) => word !== "-x509"), "-keyout", path("key"), "-out", path("request"));
  const signing = ["ca", "-batch", "-selfsign", "-notext", "-config", path("ca.conf"), "-extensions", "names"];
  const dates = ["-startdate", from, "-enddate", to];
  run(...signing, ...dates, "-keyfile", path("key"), "-in", path("request"), "-out", path("cert"));
  return { key: readFileSync(path("key")), cert: readFileSync(path("cert")) };
}

test("a server is believed by the system's certificates, for its own name, and else told apart from one that is gone", {
  skip,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-https-"));
  const empty = join(folder, "empty");
  mkdirSync(empty);
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const made = spawnSync("openssl", [...SELF_SIGNED, "-days", "2", "-keyout", key, "-out", cert]);
  assert.equal(made.status, 0, made.stderr.toString());
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_request, response) =>
    response.end(),
  );
  server.listen(0, "127.0.0.1");
  try {
    await once(server, "listening");
    const port = portOf(server);
    assert.equal(await ask(`https://localhost:${port}`, cert, empty), "200");
    assert.equal(await ask(`HTTPS://localhost:${port}`, cert, empty), "200");
    assert.match(
      await ask(`https://localhost:${port}`, "/etc/ssl/certs/ca-certificates.crt", empty),
      /^net\/unreachable shows a certificate that is not trusted \((DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_\w+)\)\|.*update-ca-certificates\.$/,
    );
    assert.match(
      await ask(`https://127.0.0.1:${port}`, cert, empty),
      /^net\/unreachable shows a certificate that is not trusted \(ERR_TLS_CERT_ALTNAME_INVALID\)\|It is for another name/,
    );
    assert.match(
      await ask(`https://localhost:${port}`, "/etc/ssl/certs/ca-certificates.crt", empty, {
        NODE_TLS_REJECT_UNAUTHORIZED: "0",
      }),
      /^net\/unreachable shows a certificate that is not trusted/,
      "nothing in the environment makes it trusted",
    );
    assert.match(await ask(`http://localhost:${port}`, cert, empty), /^net\/unreachable /);
  } finally {
    server.close();
    rmSync(folder, { recursive: true });
  }
});

const OUT_OF_TIME: readonly (readonly [from: string, to: string, remedy: RegExp])[] = [
  ["20200101000000Z", "20200102000000Z", /It has expired: renew it/],
  ["20900101000000Z", "20910101000000Z", /It is not valid yet: set this machine's clock/],
];

test("a certificate that is out of its time says which way", { skip }, async () => {
  for (const [from, to, remedy] of OUT_OF_TIME) {
    const folder = mkdtempSync(join(tmpdir(), "nightlatch-https-"));
    const server = createServer(certify(folder, from, to), (_request, response) => response.end());
    try {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      assert.match(await ask(`https://localhost:${portOf(server)}`, join(folder, "cert"), folder), remedy);
    } finally {
      server.close();
      rmSync(folder, { recursive: true });
    }
  }
});

function portOf(server: Server): number {
  const address = server.address();
  return address !== null && typeof address === "object" ? address.port : assert.fail();
}

test("https:// to a server that speaks plain HTTP is told as that", async () => {
  const server = createPlainServer((_request, response) => response.end());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const told = await ask(`https://localhost:${portOf(server)}`, "/etc/ssl/certs/ca-certificates.crt", tmpdir());
  assert.match(told, /^net\/unreachable does not speak TLS as it should \(\w+\)\|Check that the address is https:\/\//);
  server.close();
});
