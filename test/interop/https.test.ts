/** TLS judged by the system's certificate store. Needs openssl. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";

const skip: string | false = spawnSync("openssl", ["version"]).status === 0 ? false : "openssl is not installed";
const HTTP = resolve(import.meta.dirname, "../../src/system/http.ts");

/** Asks in a process of its own, for the store is read once in a process. @returns the status, or the error's code and message */
async function ask(url: string, store: string, emptyFolder: string): Promise<string> {
  const script = `
    const { exchange } = await import(${JSON.stringify(HTTP)});
    await exchange({ method: "GET", url: process.argv[1], deadlineMs: 30000, limitBytes: 100 }).then(
      ({ status }) => console.log(status),
      ({ code, message }) => console.log(code, message.replace(/^.*?:\\d+ /, "")));`;
  const env = { ...process.env, SSL_CERT_FILE: store, SSL_CERT_DIR: emptyFolder };
  const child = spawn(process.execPath, ["--input-type=module", "-e", script, url], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  return (await text(child.stdout)).trim();
}

test("a server is believed by the system's certificates, for its own name, and else told apart from one that is gone", {
  skip,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-https-"));
  const empty = join(folder, "empty");
  mkdirSync(empty);
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const made = spawnSync("openssl", [
    ...args,
    ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
  ]);
  assert.equal(made.status, 0, made.stderr.toString());
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_request, response) =>
    response.end(),
  );
  server.listen(0, "127.0.0.1");
  try {
    await once(server, "listening");
    const address = server.address();
    const port = address !== null && typeof address === "object" ? address.port : assert.fail();
    assert.equal(await ask(`https://localhost:${port}`, cert, empty), "200");
    assert.equal(await ask(`HTTPS://localhost:${port}`, cert, empty), "200");
    assert.match(
      await ask(`https://localhost:${port}`, "/etc/ssl/certs/ca-certificates.crt", empty),
      /^net\/unreachable shows a certificate that is not trusted \((DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_\w+)\)$/,
    );
    assert.equal(
      await ask(`https://127.0.0.1:${port}`, cert, empty),
      "net/unreachable shows a certificate that is not trusted (ERR_TLS_CERT_ALTNAME_INVALID)",
    );
  } finally {
    server.close();
    rmSync(folder, { recursive: true });
  }
});
