/**
 * An encrypted root at a cold boot, on a machine with a fixed address: `bind --setup` and nothing
 * else, then the machine is switched off and on. It comes back by itself beside dead servers; where
 * its server is silent the prompt takes the passphrase, says what is waited for, and the machine
 * still opens when the server answers later. The commands are those of
 * docs/guide/encrypted-root.md.
 */
import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { type PublicJwk, thumbprintOf } from "../../../src/formats/jose/jwk.ts";
import { startRelay } from "../../support/relay.ts";
import { PASSPHRASE } from "./encrypted-root.ts";
import { startMachine } from "./machine.ts";
import { judged, tellVersions } from "./moving.ts";
import { clevisByHand } from "./plain.ts";
import { PROMPT } from "./prompt.ts";
import { HOST_ADDRESS } from "./qemu.ts";
import { onlyInFull } from "./requirements.ts";
import {
  bind,
  comesBack,
  DEADLINE_MS,
  FORGET_DATA,
  findsNothing,
  guideCommands,
  openedByHand,
  type RootKind,
  typeUntilLogin,
  withRootMachine,
} from "./root-machine.ts";

const LATE_MS = 30_000;
/** A port of the host's that is answered while the volume is bound, and refused afterwards. */
const GONE_PORT = 7655;

const fromGuide = guideCommands("encrypted-root.md");

/** An address that QEMU's own DHCP server does not give; the machine has it for good. */
const FIXED = "10.0.2.77/24";
const FIX_ADDRESS = [
  `sed -i 's|^Address=.*|Address=${FIXED}|' /etc/systemd/network/10-guest.network`,
  "networkctl reload && networkctl reconfigure $(basename /sys/class/net/en*)",
  `until ip -o addr | grep -qF ${FIXED}; do sleep 1; done`,
].join("\n");

/** Its card had the address before the root by what was written down, and DHCP was not asked. */
const HAD_FIXED: Readonly<Record<RootKind["generator"], string>> = {
  "initramfs-tools": "[ -e /run/nightlatch-network.log ] && ! ls /run/net-*.conf",
  dracut: "! journalctl -b -u systemd-networkd --no-pager | grep DHCPv4",
};

async function coldBoots(kind: RootKind, t: TestContext): Promise<void> {
  await withRootMachine(kind, async ({ server, options: made }) => {
    await using relay = await startRelay(server.forward.hostPort);
    const forward = { ...server.forward, hostPort: relay.port };
    const gone = { ...forward, guestPort: GONE_PORT };
    const options = { ...made, forwards: [forward] };
    await openedByHand({ ...options, forwards: [forward, gone] }, async (machine) => {
      await tellVersions(t, kind.suite, (script) => machine.must(script));
      await machine.must(FORGET_DATA);
      await machine.must(FIX_ADDRESS, DEADLINE_MS);
      const invite = await server.invite("nas");
      const told = await bind(machine, fromGuide("nightlatch bind /dev/vda latch INVITE --setup", { INVITE: invite }));
      assert.match(told, /has the fixed address 10\.0\.2\.77\/24, and the initramfs asks for one by DHCP/);
      assert.match(told, /was made anew, read back and proved/);
      await bind(machine, "nightlatch bind /dev/vdb latch");
      await findsNothing(machine, fromGuide("nightlatch check"));
      // Two servers more, which the next boot does not find: one refuses, one has no name.
      const status = JSON.parse(await machine.must("nightlatch status /dev/vda --json", DEADLINE_MS));
      const url: string = status.volumes[0].bindings[0].urls[0];
      const thumbprint = await signerOf(url.replace(/\/\/[^/]+/, `//127.0.0.1:${server.forward.hostPort}`));
      await machine.must(`echo '${HOST_ADDRESS} gone' >> /etc/hosts`);
      for (const host of [`${HOST_ADDRESS}:${GONE_PORT}`, `gone:${GONE_PORT}`]) {
        const other = url.replace(/\/\/[^/]+/, `//${host}`);
        await bind(machine, `nightlatch bind /dev/vda tang ${other} --thumbprint=${thumbprint} --no-setup`);
      }
      await machine.must("sed -i '/ gone$/d' /etc/hosts");
    });
    const seconds = await comesBack(options, async (machine) => {
      const { volumes } = JSON.parse(await machine.must("nightlatch status /dev/vda --json", DEADLINE_MS));
      assert.deepEqual([volumes[0].nextBoot.will, volumes[0].nextBoot.stage], ["open", "initramfs"]);
      await machine.must(HAD_FIXED[kind.generator]);
    });
    t.diagnostic(
      `opened by itself beside a server that refuses and one without a name: login ${Math.round(seconds)} s after power-on`,
    );

    relay.isSilent = true;
    {
      await using machine = await startMachine(options);
      await machine.console.waitFor(PROMPT, DEADLINE_MS);
      await machine.console.waitFor(/nightlatch: no key yet: [^\n]*The passphrase can be typed/, DEADLINE_MS);
      assert.ok(relay.held > 0, "the silent server was asked");
      machine.console.type(`${PASSPHRASE}\n`);
      await typeUntilLogin(machine);
      await machine.powerOff(DEADLINE_MS);
    }
    {
      await using machine = await startMachine(options);
      await machine.console.waitFor(/nightlatch: no key yet: /, DEADLINE_MS);
      await pause(LATE_MS);
      relay.isSilent = false;
      await machine.login(DEADLINE_MS);
      await machine.powerOff(DEADLINE_MS);
    }
  });
}

/** The thumbprint of the key that a latch's advertisement is signed with. */
async function signerOf(url: string): Promise<string> {
  const { payload } = (await (await fetch(`${url}/adv`)).json()) as { payload: string };
  const { keys } = JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as {
    keys: (PublicJwk & { key_ops: string[] })[];
  };
  const signer = keys.find(({ key_ops: uses }) => uses.includes("verify"));
  assert.ok(signer !== undefined);
  return thumbprintOf(signer);
}

/** One file a generator. */
export function testColdBoot(name: string, kind: RootKind): void {
  describe(name, { skip: onlyInFull(), concurrency: 1 }, () => {
    test("bound and set up, it opens at a cold boot; a silent server keeps nobody out", (t) =>
      judged(
        t,
        kind.suite,
        () => coldBoots(kind, t),
        () => clevisByHand(kind),
      ));
  });
}
