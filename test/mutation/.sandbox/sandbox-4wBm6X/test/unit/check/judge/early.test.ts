// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BindingFacts, EarlyFacts, VolumeFacts } from "../../../../src/check/judge/facts.ts";
import type { Finding } from "../../../../src/check/judge/finding.ts";
import { judge } from "../../../../src/check/judge/judge.ts";
import { parseFstab } from "../../../../src/formats/systemd/fstab.ts";
import { BINDING, EARLY, machine, SOCKET, volume } from "../../../support/machine-facts.ts";

const ROOT = "cryptroot UUID=1234 none luks,discard,initramfs,x-initrd.attach";
const OWN_MOUNT = parseFstab(Buffer.from("/dev/mapper/cryptroot / ext4 errors=remount-ro 0 1\n"));

function findings(line: string, early: EarlyFacts = EARLY, more: Partial<VolumeFacts> = {}): Finding[] {
  return judge(machine({ volumes: [volume(line, { early, mounts: OWN_MOUNT, ...more })] }));
}
const codes = (...args: Parameters<typeof findings>) =>
  findings(...args).map(({ severity, code }) => `${severity} ${code}`);
const boot = (more: Partial<NonNullable<EarlyFacts["boot"]>>): EarlyFacts => {
  assert.ok(EARLY.boot !== null);
  return { ...EARLY, boot: { ...EARLY.boot, ...more } };
};
const lacking = (...found: BindingFacts["lacks"][number]["code"][]): BindingFacts => ({
  ...BINDING,
  lacks: found.map((code) => ({ code, what: `it lacks ${code}`, remedy: `mend ${code}` })),
});

test("no volume of the initramfs is ever offered the agent's socket, _netdev or nofail", () => {
  const bindings = [
    [],
    [BINDING],
    [lacking("clevis", "driver")],
    [{ ...BINDING, opens: false }],
    [{ ...BINDING, opens: null }],
  ];
  const boots = [
    EARLY,
    boot({ opensIt: false }),
    boot({ keyscript: "x" }),
    { ...EARLY, boot: null, unknown: { what: "w", remedy: "r" } },
  ];
  const keys = ["none", SOCKET, "/etc/key", "cryptvols"];
  let count = 0;
  for (const key of keys)
    for (const options of [
      "luks",
      "luks,_netdev,nofail",
      "luks,keyscript=decrypt_keyctl,initramfs",
      "luks,tpm2-device=auto",
      "luks,noauto",
    ])
      for (const bound of bindings)
        for (const early of [
          ...boots,
          ...boots.map((one) => ({ ...one, isNeeded: false, why: "crypttab marks it initramfs" })),
        ])
          for (const hasKey of [true, false, null])
            for (const clevisAnswers of [true, false]) {
              const one = volume(`cryptroot UUID=1234 ${key} ${options}`, {
                early,
                mounts: OWN_MOUNT,
                bindings: bound,
                hasKey,
              });
              for (const { remedy, code } of judge(machine({ volumes: [one], clevisAnswers }))) {
                count++;
                assert.doesNotMatch(remedy, new RegExp(SOCKET), `${code}: ${remedy}`);
                // What the user has written stays; nothing of it is ours.
                if (!options.includes("_netdev")) assert.doesNotMatch(remedy, /_netdev|nofail/, `${code}: ${remedy}`);
              }
            }
  assert.ok(count > 500, String(count));
});

test("a root that clevis opens in the initramfs has nothing to find", () => {
  assert.deepEqual(findings(ROOT), []);
  assert.deepEqual(findings(ROOT, EARLY, { bindings: [] }), [], "it asks, as it always did");
  assert.deepEqual(findings(ROOT, EARLY, { bindings: [lacking("clevis"), BINDING] }), [], "one way is enough");
});

test("everything that the initramfs lacks is told, each with what mends it", () => {
  const found = findings(ROOT, EARLY, { bindings: [lacking("clevis", "network", "driver")] });
  assert.deepEqual(
    found.map(({ code, severity, remedy }) => [code, severity, remedy]),
    [
      ["check/initramfs-clevis", "error", "mend clevis"],
      ["check/initramfs-network", "error", "mend network"],
      ["check/initramfs-driver", "error", "mend driver"],
    ],
  );
  const refused = { ...lacking("clevis"), opens: false };
  assert.deepEqual(codes(ROOT, EARLY, { bindings: [refused] }), [
    "error check/initramfs-clevis",
    "error check/binding",
  ]);
});

test("the agent's socket as the root's key: the line without it, and the initramfs made anew", () => {
  const line = `cryptroot UUID=1234 ${SOCKET} luks,discard,_netdev,nofail`;
  const [finding, ...others] = findings(line);
  assert.deepEqual(others, []);
  assert.equal(finding?.code, "check/initramfs");
  assert.equal(
    finding?.remedy,
    "line 1 of /etc/crypttab: cryptroot UUID=1234 none luks,discard\nupdate-initramfs -u -k all",
  );
  assert.match(String(finding?.text), /the machine does not start any more$/);
  assert.deepEqual(codes(line, boot({ opensIt: false })), ["error check/initramfs"], "one remedy for both");
});

test("a root that the initramfs does not open is the worst", () => {
  assert.deepEqual(codes(ROOT, boot({ opensIt: false })), ["error check/initramfs-missing"]);
  const marked = { ...boot({ opensIt: false }), isNeeded: false, why: "crypttab marks it initramfs" };
  assert.deepEqual(codes("swap UUID=1234 none luks,initramfs", marked), ["warning check/initramfs-missing"]);
  const [useless] = findings("swap UUID=1234 none luks,x-initrd.attach", marked);
  assert.equal(useless?.remedy, "line 1 of /etc/crypttab: swap UUID=1234 none luks", "a mark of another generator");
});

test("_netdev or nofail on the root's mount", () => {
  const mounts = parseFstab(Buffer.from("/dev/mapper/cryptroot / ext4 errors=remount-ro,_netdev,nofail 0 1\n"));
  const [finding] = findings(ROOT, EARLY, { mounts });
  assert.equal(finding?.code, "check/root-netdev");
  assert.equal(finding?.remedy, "line 1 of /etc/fstab: /dev/mapper/cryptroot / ext4 errors=remount-ro 0 1");
});

test("what cannot be told is a warning, and no advice", () => {
  const unknown = { ...EARLY, boot: null, unknown: { what: "it is hidden", remedy: "look" } };
  assert.deepEqual(codes(ROOT, unknown), ["warning check/initramfs-unknown"]);
  const script = "raid UUID=1234 cryptvols luks,keyscript=decrypt_keyctl,initramfs";
  assert.deepEqual(codes(script, boot({ keyscript: "decrypt_keyctl" }), { hasKey: false }), [
    "warning check/initramfs-unknown",
  ]);
});

test("no deadline is a warning, once clevis is there and a binding asks the network", () => {
  const early = boot({ deadline: { what: "it has no deadline", remedy: "make it" } });
  const network = { ...BINDING, asksNetwork: true };
  assert.deepEqual(codes(ROOT, early, { bindings: [network] }), ["warning check/initramfs-deadline"]);
  assert.deepEqual(codes(ROOT, early, { bindings: [{ ...network, asksNetwork: false }] }), []);
  assert.deepEqual(codes(ROOT, early, { bindings: [lacking("clevis")] }), ["error check/initramfs-clevis"]);
  assert.deepEqual(codes(ROOT, boot({}), { bindings: [network] }), []);
});
