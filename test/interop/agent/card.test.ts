/** The agent, with a card in place of a server: its PIN comes from a credential, or from nobody. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { Secret } from "../../../src/core/secret.ts";
import { parsePkcs11Uri } from "../../../src/formats/pkcs11/uri.ts";
import { prepareCard } from "../../../src/pins/pkcs11/seal.ts";
import { type AgentProcess, configureAgent, startAgent } from "../../support/agent/process.ts";
import { clevisToken } from "../../support/clevis-token.ts";
import { makeSoftHsm, noSoftHsm, SOFTHSM, type SoftHsm } from "../../support/soft-hsm.ts";
import { addSlot, addToken, makeFolder, makeVolume, opens } from "../../support/volumes.ts";

/** The passphrase of the slot that is bound. */
const KEY = "YSBwYXNzcGhyYXNlIGFzIGxvbmcgYXMgdGhlIHJlYWwgb25lcyBhcmU";
const folder = makeFolder();
const skip = noSoftHsm || (process.geteuid?.() !== 0 && "a mount namespace needs root");

describe("the agent with a card", { skip }, () => {
  const image = join(folder, "card.img");
  let hsm: SoftHsm;

  before(async () => {
    hsm = makeSoftHsm(join(folder, "hsm"));
    hsm.makeToken("ops", "1234");
    hsm.makeKey("ops", "1234", "rsa:2048", "disk", "01");
    makeVolume(folder, "card.img", "luks2");
    addSlot(image, KEY);
    const power = { ...hsm.system, askPin: async () => Secret.copy(Buffer.from("1234")) };
    const uri = parsePkcs11Uri(`pkcs11:token=ops?module-path=${SOFTHSM}`);
    const seal = await prepareCard(power, uri, { timeoutMs: 60_000 });
    addToken(image, clevisToken(seal(Buffer.from(KEY)), 1));
    configureAgent(folder, { card: image }, 'deadline = "90s"\n');
  });

  /** SoftHSM finds its tokens where the system has them: the agent hands on no environment. */
  async function withAgent(pin: string | null, use: (agent: AgentProcess) => Promise<void>): Promise<void> {
    const credentials = join(folder, `credentials-${pin}`);
    mkdirSync(credentials, { mode: 0o700 });
    if (pin !== null) writeFileSync(join(credentials, "nightlatch.pkcs11-pin"), `${pin}\n`, { mode: 0o600 });
    const mounted = `mount --bind '${hsm.environment["SOFTHSM2_CONF"]}' /etc/softhsm/softhsm2.conf && exec "$@"`;
    const through = ["unshare", "--mount", "sh", "-c", mounted, "sh", "env", `CREDENTIALS_DIRECTORY=${credentials}`];
    await using agent = await startAgent({ folder, through });
    await use(agent);
    await agent.stop();
    assert.doesNotMatch(agent.log(), /internal error/);
    assert.ok(!agent.log().includes(KEY));
  }

  test("without a credential gives nothing, at once, and has tried no PIN", async () => {
    await withAgent(null, async (agent) => {
      assert.equal((await agent.ask("card")).length, 0);
      await agent.said(/\[card\/pin-needed\]/);
    });
    assert.doesNotMatch(hsm.flagsOf("ops"), /count low/);
  });

  test("with a credential gives the key that opens the volume, and names the card", async () => {
    await withAgent("1234", async (agent) => {
      const key = await agent.ask("card");
      assert.ok(opens(image, key, 1));
      await agent.said(/key sent after [\d.]+ s, from token 0 \(pkcs11:token=ops\)/);
    });
  });

  test("with a wrong credential tries it once, however often it is asked and started", async () => {
    await withAgent("0000", async (agent) => {
      assert.equal((await agent.ask("card")).length, 0);
      await agent.said(/\[card\/wrong-pin\]/);
      assert.equal((await agent.ask("card")).length, 0);
      await agent.said(/was wrong before/);
    });
    assert.match(hsm.flagsOf("ops"), /count low/);
    await withAgent("00000", async (agent) => {
      assert.equal((await agent.ask("card")).length, 0);
      await agent.said(/\[card\/few-tries\]/);
      assert.doesNotMatch(agent.log(), /wrong-pin/);
    });
  });
});
