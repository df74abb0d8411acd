/** The agent and volumes that are bound to the machine's TPM. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { SHA256 } from "../../../src/formats/tpm2/hash.ts";
import { sealToChip } from "../../../src/pins/tpm2/seal.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { configureAgent, startAgent } from "../../support/agent/process.ts";
import { clevisToken } from "../../support/clevis-token.ts";
import { noSwtpm, startSwtpm } from "../../support/tpm/swtpm.ts";
import { addSlot, addToken, makeFolder, makeVolume, opens } from "../../support/volumes.ts";

const noSocat = spawnSync("socat", ["-V"]).status === 0 ? false : "socat is not installed";
/** The passphrase of the slot that is bound. */
const KEY = "YSBwYXNzcGhyYXNlIGFzIGxvbmcgYXMgdGhlIHJlYWwgb25lcyBhcmU";
const folder = makeFolder();

describe("the agent and the TPM", { skip: noSwtpm || noSocat, concurrency: 1 }, () => {
  test("gives the key of volumes side by side; in another state nobody gets one, and the log says why", async () => {
    await using chip = await startSwtpm();
    process.env["TPM2TOOLS_TCTI"] = chip.tcti;
    const one = makeVolume(folder, "one.img", "luks2");
    addSlot(one, KEY);
    const to = { kind: "ecc", registers: { bank: SHA256, numbers: [7] } } as const;
    const jwe = await sealToChip(nodeSystem, to, Buffer.from(KEY), { timeoutMs: 20_000 });
    addToken(one, clevisToken(jwe, 1));
    const names = Array.from({ length: 6 }, (_, number) => `volume${number}`);
    configureAgent(folder, Object.fromEntries(names.map((name) => [name, one])));
    await using agent = await startAgent({ folder });
    const keys = await Promise.all(names.map((name) => agent.ask(name)));
    assert.deepEqual([...new Set(keys.map(String))], [KEY]);
    assert.ok(opens(one, keys[0] ?? "", 1));
    await agent.said(/volume0: key sent after \d+\.\d{3} s, from token 0 \(tpm2 sha256:7\)/);
    chip.extend(7);
    assert.equal((await agent.ask("volume0")).length, 0);
    await agent.said(/\[tpm2\/wrong-state\]/);
    assert.ok(!agent.log().includes(KEY));
  });

  test("a chip that hangs holds up neither other volumes nor the agent's end", async () => {
    await using chip = await startSwtpm();
    process.env["TPM2TOOLS_TCTI"] = chip.tcti;
    const bare = makeVolume(folder, "bare.img", "luks2");
    addSlot(bare, KEY);
    const [hanging, twice] = ["hanging.img", "twice.img"].map((name) => join(folder, name));
    assert.ok(hanging !== undefined && twice !== undefined);
    const jwe = await sealToChip(nodeSystem, { kind: "ecc", registers: null }, Buffer.from(KEY), { timeoutMs: 20_000 });
    for (const image of [hanging, twice]) {
      copyFileSync(bare, image);
      addToken(image, clevisToken(jwe, 1));
    }
    // What the driver of a chip that hangs is to whoever reads: silent.
    const device = join(folder, "tpmrm0");
    const driver = spawn("socat", [`PTY,link=${device},raw,echo=0`, "EXEC:sleep 1000"]);
    while (!existsSync(device)) await new Promise((wake) => setTimeout(wake, 20));
    process.env["TPM2TOOLS_TCTI"] = `device:${device}`;
    const short = ["hanging", "twice"].map((name) => `[volume.${name}]\ndeadline = "4s"\n`).join("");
    const config = `${short}[volume.other]\nexec = ["/usr/bin/printf", "from elsewhere"]\n`;
    configureAgent(folder, { hanging, twice, other: bare }, config);
    await using _driver = {
      [Symbol.asyncDispose]: async () => {
        driver.kill();
        await once(driver, "exit");
      },
    };
    await using agent = await startAgent({ folder });
    const silent = Promise.all([agent.ask("hanging"), agent.ask("twice")]);
    assert.equal(String(await agent.ask("other")), "from elsewhere", agent.log());
    for (const key of await silent) assert.equal(key.length, 0);
    await agent.said(/hanging: .*\[(?:tpm2\/silent|agent\/deadline)\]/);
    assert.equal(await agent.stop(), 0);
  });
});
