/** The pin tpm2 against stock clevis and a software TPM. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { isError } from "../../../src/core/errors.ts";
import { parseSealedJwk } from "../../../src/formats/clevis/tpm2-key.ts";
import { formatCompactJwe, parseCompactJwe } from "../../../src/formats/jose/jwe.ts";
import { hashNamed, SHA256 } from "../../../src/formats/tpm2/hash.ts";
import type { Registers } from "../../../src/formats/tpm2/registers.ts";
import { recoverSecret } from "../../../src/pins/recover.ts";
import { sealToChip } from "../../../src/pins/tpm2/seal.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { sniff } from "../../support/tpm/sniffer.ts";
import { noSwtpm, type Swtpm, startSwtpm } from "../../support/tpm/swtpm.ts";
import { makeFolder } from "../../support/volumes.ts";

const noClevis = spawnSync("clevis-decrypt-tpm2", ["--summary"]).error === undefined ? false : "clevis-tpm2 lacks";
const limits = { timeoutMs: 10_000 };
const folder = makeFolder();
const SECRET = Buffer.from("secret\0\xff\n", "latin1");
const registersOf = (...numbers: number[]): Registers => ({ bank: SHA256, numbers });

describe("tpm2", { skip: noSwtpm || noClevis }, () => {
  let chip: Swtpm;
  before(async () => {
    chip = await startSwtpm();
    process.env["TPM2TOOLS_TCTI"] = chip.tcti;
  });
  after(() => chip[Symbol.asyncDispose]());

  const encrypt = (configuration: object) =>
    parseCompactJwe(
      chip.run(["clevis", "encrypt", "tpm2", JSON.stringify(configuration), "-y"], SECRET).toString("latin1"),
    );
  const open = async (jwe: ReturnType<typeof encrypt>) => {
    using secret = await recoverSecret(nodeSystem, jwe, limits);
    return Buffer.from(secret.reveal());
  };
  const fails = (code: Parameters<typeof isError>[1]) => (error: unknown) => {
    assert.ok(isError(error, code), String(error));
    return true;
  };

  for (const [name, configuration] of Object.entries({
    "an elliptic curve's key, no registers": {},
    "registers of SHA-1, clevis's own default": { pcr_ids: "0" },
    "a list in disorder": { pcr_bank: "sha256", pcr_ids: "11,7,0,7" },
    "names by SHA-384, and its bank": { hash: "sha384", pcr_bank: "sha384", pcr_ids: "1,2,3" },
    "an RSA key, names by SHA-512": { key: "rsa", hash: "sha512" },
  })) {
    test(`we open what clevis sealed: ${name}`, async () => {
      assert.deepEqual(await open(encrypt(configuration)), SECRET);
    });
  }

  test("a chip whose queue other programs fill is waited for", async () => {
    const sealed = encrypt({});
    const others: Socket[] = [];
    for (let full = false; !full; ) {
      const other = connect(chip.socketPath);
      full = await new Promise((resolve) => {
        other.once("connect", () => resolve(false));
        other.once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "EAGAIN"));
      });
      if (!full) others.push(other);
    }
    const opened = open(sealed);
    await new Promise((resolve) => setTimeout(resolve, 50)); // it finds the queue full
    for (const other of others) other.destroy();
    assert.deepEqual(await opened, SECRET);
  });

  for (const kind of ["ecc", "rsa"] as const) {
    for (const registers of [null, registersOf(0, 1, 2, 3, 4, 5, 7, 11)]) {
      test(`clevis opens what we sealed: ${kind}, registers ${registers?.numbers ?? "none"}`, async () => {
        const jwe = await sealToChip(nodeSystem, { kind, registers }, SECRET, limits);
        assert.deepEqual(chip.run(["clevis", "decrypt"], formatCompactJwe(jwe)), SECRET);
        assert.deepEqual(await open(jwe), SECRET);
      });
    }
  }

  test("a binding to a bank that the chip does not keep is refused, and names the bank", async () => {
    await using small = await startSwtpm();
    small.run(["tpm2_pcrallocate", "sha1:none+sha256:all+sha384:none+sha512:none"]);
    await small.restart();
    process.env["TPM2TOOLS_TCTI"] = small.tcti;
    try {
      const registers = { bank: hashNamed("sha384") ?? SHA256, numbers: [7] };
      await assert.rejects(sealToChip(nodeSystem, { kind: "ecc", registers }, SECRET, limits), (error) => {
        assert.match(String(error), /no registers in the bank sha384$/);
        return fails("tpm2/unsupported")(error);
      });
    } finally {
      process.env["TPM2TOOLS_TCTI"] = chip.tcti;
    }
  });

  test("another state, another chip, one that was cleared: each has its code, and comes back where it can", async () => {
    await using other = await startSwtpm();
    const sealed = await sealToChip(nodeSystem, { kind: "ecc", registers: registersOf(7) }, SECRET, limits);
    const free = await sealToChip(nodeSystem, { kind: "ecc", registers: null }, SECRET, limits);
    chip.extend(7);
    await assert.rejects(open(sealed), fails("tpm2/wrong-state"));
    assert.deepEqual(await open(free), SECRET);
    await chip.restart();
    assert.deepEqual(await open(sealed), SECRET);
    process.env["TPM2TOOLS_TCTI"] = other.tcti;
    for (const jwe of [sealed, free]) await assert.rejects(open(jwe), fails("tpm2/other-chip"));
    process.env["TPM2TOOLS_TCTI"] = chip.tcti;
    chip.run(["tpm2_clear", "-c", "p"]);
    for (const jwe of [sealed, free]) await assert.rejects(open(jwe), fails("tpm2/other-chip"));
  });

  test("an owner's password is told, and the remedy takes it off", async () => {
    const jwe = await sealToChip(nodeSystem, { kind: "ecc", registers: null }, SECRET, limits);
    chip.run(["tpm2_changeauth", "-c", "owner", "secret"]);
    await assert.rejects(open(jwe), (error) => {
      assert.ok(isError(error, "tpm2/refused"));
      assert.match(error.remedy ?? "", /tpm2_changeauth -c owner -p OLD takes it off/);
      return true;
    });
    chip.run(["tpm2_changeauth", "-c", "owner", "-p", "secret"]);
    assert.deepEqual(await open(jwe), SECRET);
  });

  test("no chip, one that is silent, one that talks nonsense, one that is a device", async () => {
    const jwe = encrypt({});
    const withPlace = async (place: string, code: Parameters<typeof isError>[1], timeoutMs = 10_000) => {
      process.env["TPM2TOOLS_TCTI"] = place;
      try {
        await assert.rejects(recoverSecret(nodeSystem, jwe, { timeoutMs }), fails(code), place);
      } finally {
        process.env["TPM2TOOLS_TCTI"] = chip.tcti;
      }
    };
    await withPlace(`swtpm:path=${join(folder, "nobody")}`, "tpm2/no-chip");
    await withPlace("swtpm:host=127.0.0.1,port=9", "tpm2/no-chip");
    await withPlace("device:/dev/nightlatch-none", "tpm2/no-chip");
    await withPlace("tabrmd:bus_name=com.example", "tpm2/no-chip");
    await withPlace("device:/dev/null", "tpm2/malformed");
    await withPlace("device:/dev/zero", "tpm2/malformed");
    const answers = {
      silent: "",
      nonsense: "HTTP/1.1 400 Bad Request\r\n\r\n".padEnd(5000, "x"),
      cut: "\x80\x01\0\0\0\x0a",
    };
    for (const [name, answer] of Object.entries(answers)) {
      const path = join(folder, name);
      const server = createServer((socket) => {
        socket.on("error", () => {});
        socket.once("data", () => socket.write(answer, "latin1"));
      }).listen(path);
      await once(server, "listening");
      await withPlace(`swtpm:path=${path}`, name === "nonsense" ? "tpm2/malformed" : "tpm2/silent", 300);
      server.close();
    }
  });

  test("over TCP, and as a device that a driver would be, one message at a time", async () => {
    const jwe = encrypt({ pcr_bank: "sha256", pcr_ids: "7" });
    // A pseudo-terminal takes a message in one piece, as the driver of a TPM does.
    const device = join(folder, "tpmrm0");
    const driver = spawn("socat", [`PTY,link=${device},raw,echo=0`, `UNIX-CONNECT:${chip.socketPath}`]);
    const started = async () => {
      while (spawnSync("test", ["-e", device]).status !== 0) await new Promise((wake) => setTimeout(wake, 20));
    };
    await started();
    process.env["TPM2TOOLS_TCTI"] = `device:${device}`;
    try {
      assert.deepEqual(await open(jwe), SECRET);
    } finally {
      driver.kill();
      await once(driver, "exit");
    }
    const bridge = spawn("socat", ["TCP-LISTEN:23219,bind=127.0.0.1,reuseaddr", `UNIX-CONNECT:${chip.socketPath}`]);
    process.env["TPM2TOOLS_TCTI"] = "swtpm:host=127.0.0.1,port=23219";
    try {
      for (;;) {
        const opened = await open(jwe).catch((error: unknown) => error);
        if (!isError(opened, "tpm2/no-chip")) {
          assert.deepEqual(opened, SECRET);
          break;
        }
        await new Promise((wake) => setTimeout(wake, 20));
      }
    } finally {
      bridge.kill();
      process.env["TPM2TOOLS_TCTI"] = chip.tcti;
    }
  });

  test("nothing is left in the chip's memory, however it ends", async () => {
    const held = () =>
      ["handles-transient", "handles-loaded-session", "handles-saved-session"].map((kind) =>
        chip.run(["tpm2_getcap", kind]).toString(),
      );
    assert.deepEqual(held(), ["", "", ""]);
    const jwe = await sealToChip(nodeSystem, { kind: "ecc", registers: registersOf(16) }, SECRET, limits);
    for (let time = 0; time < 5; time++) await open(jwe);
    chip.run(["tpm2_pcrextend", `16:sha256=${"11".repeat(32)}`]);
    for (let time = 0; time < 5; time++) await assert.rejects(open(jwe), fails("tpm2/wrong-state"));
    assert.deepEqual(held(), ["", "", ""]);
  });

  test("whoever listens on the bus reads the key when clevis opens and seals, and not when we do", async () => {
    await using bus = await sniff(chip.socketPath, join(folder, "bus.sock"));
    const run = (argv: readonly string[], input: string | Buffer) => {
      const [program = "", ...args] = argv;
      const exit = spawnSync(program, args, { input, env: { ...process.env, TPM2TOOLS_TCTI: bus.tcti } });
      chip.flush();
      return exit;
    };
    /** What is sealed in the chip, read without anybody listening. */
    const keyOf = (jwe: ReturnType<typeof encrypt>): Buffer => {
      const header = Buffer.from(jwe.protected, "base64url").toString();
      const { jwk_pub, jwk_priv } = JSON.parse(header).clevis.tpm2;
      const [pub, priv, primary, object] = ["pub", "priv", "primary", "object"].map((name) => join(folder, name));
      const script = `
        jose b64 dec -i- -O ${pub} <<< ${jwk_pub}
        jose b64 dec -i- -O ${priv} <<< ${jwk_priv}
        tpm2_createprimary -Q -C o -g sha256 -G ecc -c ${primary} && tpm2_flushcontext -t
        tpm2_load -Q -C ${primary} -u ${pub} -r ${priv} -c ${object} && tpm2_flushcontext -t
        tpm2_unseal -c ${object}`;
      const jwk = chip.run(["bash", "-e", "-c", script]);
      chip.flush();
      using key = parseSealedJwk(jwk);
      return Buffer.from(key.reveal().toString("base64url"), "latin1");
    };
    process.env["TPM2TOOLS_TCTI"] = bus.tcti;
    try {
      const ours = await sealToChip(nodeSystem, { kind: "ecc", registers: null }, SECRET, limits);
      assert.deepEqual(await open(ours), SECRET);
      assert.ok(bus.count() > 2000, "the bus is where it passes");
      const key = keyOf(ours);
      assert.equal(bus.heard(key), false);
      assert.equal(bus.heard(Buffer.from(key.toString("latin1"), "base64url")), false);
      // The same key, opened by clevis on the same bus.
      assert.deepEqual(run(["clevis", "decrypt"], formatCompactJwe(ours)).stdout, SECRET);
      assert.equal(bus.heard(key), true);

      const theirs = parseCompactJwe(String(run(["clevis", "encrypt", "tpm2", "{}", "-y"], SECRET).stdout));
      assert.equal(bus.heard(keyOf(theirs)), true);
    } finally {
      process.env["TPM2TOOLS_TCTI"] = chip.tcti;
    }
  });
});
