// @ts-nocheck
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import type { BindingFacts, CheckFacts, Responder, VolumeFacts } from "../../../../src/check/judge/facts.ts";
import { judge } from "../../../../src/check/judge/judge.ts";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { parseFstab } from "../../../../src/formats/systemd/fstab.ts";
import { describeExposure } from "../../../../src/host/exposed.ts";
import { BINDING, GOOD_LINE, machine, SOCKET, SYSTEMD, volume } from "../../../support/machine-facts.ts";

function refused(path: string, flaw: "changed" | "read") {
  const refusal = describeExposure({ path, kind: "file", flaw, mode: 0o666, uid: 0 });
  return { path, refusal, isAgents: true };
}

const found = (facts: CheckFacts): string[] => judge(facts).map(({ severity, code }) => `${severity} ${code}`);
const foundIn = (line: string, more: Partial<VolumeFacts> = {}): string[] =>
  found(machine({ volumes: [volume(line, more)] }));

test("a machine as the manual sets it up has nothing to find", () => {
  assert.deepEqual(judge(machine()), []);
  assert.deepEqual(judge(machine({ systemd: null })), []);
  assert.deepEqual(judge(machine({ systemd: { ...SYSTEMD, cycles: null } })), []);
});

test("a tang whose keys were rotated is told while it still opens the volume; not twice where it does not", () => {
  const bound: BindingFacts = { ...BINDING, kind: "tang", urls: ["http://tang"], rotated: ["http://tang"] };
  const [finding, ...others] = judge(machine({ volumes: [volume(GOOD_LINE, { bindings: [bound] })] }));
  assert.deepEqual(others, []);
  assert.deepEqual([finding?.code, finding?.severity], ["check/rotated", "warning"]);
  assert.equal(finding?.remedy, "nightlatch rotate /dev/disk/by-uuid/1234");
  const error = new NightlatchError("net/timeout", "too late");
  assert.deepEqual(foundIn(GOOD_LINE, { bindings: [{ ...bound, opens: false, error }] }), ["error check/binding"]);
});

describe("crypttab and fstab", () => {
  test("a network volume without _netdev stops the boot; the line that mends it is given", () => {
    const [finding, ...others] = judge(machine({ volumes: [volume(`data UUID=1234 ${SOCKET} luks`)] }));
    assert.deepEqual(others, []);
    assert.equal(finding?.code, "check/no-netdev");
    assert.equal(finding?.severity, "error");
    assert.equal(finding?.remedy, `line 1 of /etc/crypttab: ${GOOD_LINE}`);
  });

  test("one without nofail is a warning", () => {
    assert.deepEqual(foundIn(`data UUID=1234 ${SOCKET} luks,_netdev`), ["warning check/no-nofail"]);
    assert.deepEqual(foundIn(`data UUID=1234 ${SOCKET} luks,_netdev,nofail,fail`), ["warning check/no-nofail"]);
  });

  test("its mount without _netdev ends in emergency mode; without nofail it waits", () => {
    const mounts = (options: string) => ({
      mounts: parseFstab(Buffer.from(`# data\n/dev/mapper/data /srv/a\\040b ext4 ${options} 0 2\n`)),
    });
    const [finding] = judge(machine({ volumes: [volume(GOOD_LINE, mounts("defaults,noatime"))] }));
    assert.equal(finding?.code, "check/mount-no-netdev");
    assert.match(finding?.text ?? "", /^\/srv\/a b is mounted as a local file system/);
    assert.equal(
      finding?.remedy,
      "line 2 of /etc/fstab: /dev/mapper/data /srv/a\\040b ext4 noatime,_netdev,nofail 0 2",
    );
    assert.deepEqual(foundIn(GOOD_LINE, mounts("_netdev")), ["warning check/mount-no-nofail"]);
    assert.deepEqual(foundIn(GOOD_LINE, mounts("noauto")), []);
  });

  test("a volume whose command needs no network may be local", () => {
    const command = { program: "curl", isThere: true };
    assert.deepEqual(foundIn(`data UUID=1234 ${SOCKET} luks`, { command, bindings: [], mounts: [] }), []);
  });

  test("options that spoil the agent's key", () => {
    assert.deepEqual(foundIn(`${GOOD_LINE},keyfile-size=64`), ["error check/key-cut"]);
    assert.deepEqual(foundIn(`${GOOD_LINE},keyfile-offset=1`), ["error check/key-cut"]);
    assert.deepEqual(foundIn(`${GOOD_LINE},key-slot=0`), ["error check/key-slot"]);
    assert.deepEqual(foundIn(`${GOOD_LINE},key-slot=1`), []);
    assert.deepEqual(foundIn(`${GOOD_LINE},headless=1`), ["warning check/headless"]);
    assert.deepEqual(foundIn(`${GOOD_LINE},headless=no`), []);
    const command = { program: "/usr/bin/curl", isThere: true };
    assert.deepEqual(foundIn(`${GOOD_LINE},keyfile-size=64`, { command }), [], "a way to cut a line feed off");
  });

  test("bindings that nobody asks, and a key that is not there", () => {
    assert.deepEqual(foundIn("data UUID=1234 none luks,_netdev", { hasKey: null }), ["warning check/not-asked"]);
    assert.deepEqual(foundIn("data UUID=1234 none luks", { hasKey: null, bindings: [] }), []);
    assert.deepEqual(foundIn("data UUID=1234 /run/gone luks", { hasKey: false }), ["error check/no-key"]);
    assert.deepEqual(foundIn("data UUID=1234 /etc/key luks", { hasKey: true }), []);
  });

  test("a line that systemd passes over", () => {
    const [finding] = judge(machine({ crypttabFaults: [{ line: 3, what: "is not UTF-8: systemd passes over it" }] }));
    assert.equal(finding?.text, "line 3 is not UTF-8: systemd passes over it");
  });
});

describe("volumes", () => {
  const failing = (more: Partial<BindingFacts> = {}): BindingFacts => ({
    ...BINDING,
    opens: false,
    error: new NightlatchError("pin/locked", "keys:7654 refuses to release the key", { remedy: "Unlock it there." }),
    ...more,
  });

  test("a binding that does not open is an error, unless another one does", () => {
    const [finding] = judge(machine({ volumes: [volume(GOOD_LINE, { bindings: [failing()] })] }));
    assert.equal(finding?.severity, "error");
    assert.equal(
      finding?.text,
      "latch http://keys:7654/latch/x, keyslot 1 does not open it now: keys:7654 refuses to release the key [pin/locked]",
    );
    assert.match(
      finding?.remedy ?? "",
      /^on the server, .*: nightlatch machine list, and nightlatch machine unlock NAME$/,
    );
    assert.deepEqual(foundIn(GOOD_LINE, { bindings: [failing(), BINDING] }), ["warning check/binding"]);
    assert.deepEqual(foundIn(GOOD_LINE, { bindings: [failing({ opens: null })] }), ["warning check/binding-untried"]);
  });

  test("a card whose PIN nobody has given was not tried, and the step is to try it", () => {
    const error = new NightlatchError("card/pin-needed", "the PIN is needed");
    const bindings = [failing({ kind: "pkcs11", urls: [], target: "pkcs11:token=ops", opens: null, error })];
    const [finding] = judge(machine({ volumes: [volume(GOOD_LINE, { bindings })] }));
    assert.deepEqual([finding?.code, finding?.severity], ["check/binding-untried", "warning"]);
    assert.match(finding?.remedy ?? "", /^nightlatch unlock \S+ --test$/);
  });

  test("a TPM's PIN opens no boot: the volume counts as one without a binding, unless it has another", () => {
    const error = new NightlatchError("pin/needs-person", "nobody is asked here");
    const measured = [
      { isNeeded: true, bank: "sha256", numbers: [7], isNow: false, moving: [11], pending: [], unsteady: [] },
    ];
    const pinned = failing({ kind: "tpm2", urls: [], needsPerson: true, opens: null, error, measured });
    const alone = judge(machine({ volumes: [volume(GOOD_LINE, { bindings: [pinned] })] }));
    assert.deepEqual(
      alone.map(({ code, severity }) => `${severity} ${code}`),
      ["error check/no-binding", "warning check/binding-untried", "warning check/tpm-state"],
    );
    assert.match(alone[0]?.text ?? "", /opens by a PIN alone, which a person types to nightlatch unlock$/);
    assert.match(alone[0]?.remedy ?? "", /^nightlatch bind \S+ latch/);
    assert.match(alone[1]?.remedy ?? "", /^nightlatch unlock \S+ --test$/);
    assert.match(alone[2]?.remedy ?? "", / tpm2 pcr=7 pin --replace --slot 1$/);
    const steady = { ...pinned, measured: [] };
    assert.deepEqual(foundIn(GOOD_LINE, { bindings: [steady, BINDING] }), ["warning check/binding-untried"]);
    // Nor is it one that clevis answers by, or that crypttab should name the agent for.
    const byHand = { bindings: [steady] };
    assert.deepEqual(foundIn("data UUID=1234 none luks,_netdev,nofail", byHand), ["warning check/binding-untried"]);
  });

  test("nothing to ask, nothing to run", () => {
    assert.deepEqual(foundIn(GOOD_LINE, { bindings: [] }), ["error check/no-binding"]);
    const command = { program: "curl", isThere: false };
    assert.deepEqual(foundIn(GOOD_LINE, { bindings: [], command }), ["error check/no-command"]);
  });

  test("a device that is not there, a header that cannot be read", () => {
    const missing = new NightlatchError("file/missing", "gone");
    assert.deepEqual(foundIn(GOOD_LINE, { error: missing }), ["error check/no-device"]);
    const cipher = new NightlatchError("luks/null-cipher", "it asks for no encryption", { remedy: "Look at it." });
    const [finding] = judge(machine({ volumes: [volume(GOOD_LINE, { error: cipher })] }));
    assert.equal(finding?.text, "it asks for no encryption [luks/null-cipher]");
    assert.equal(finding?.remedy, "Look at it.");
  });

  test("no passphrase beside the bindings, leftovers, a damaged copy", () => {
    assert.deepEqual(foundIn(GOOD_LINE, { noPassphrase: { text: "nothing opens it", remedy: "x" } }), [
      "warning check/no-passphrase",
    ]);
    assert.deepEqual(foundIn(GOOD_LINE, { leftovers: [{ text: "a binding that was cut short", remedy: "x" }] }), [
      "warning check/leftover",
    ]);
    assert.deepEqual(foundIn(GOOD_LINE, { warnings: [{ text: "the primary copy is damaged", remedy: null }] }), [
      "warning check/header",
    ]);
  });
});

describe("the machine around them", () => {
  test("the agent's socket unit", () => {
    const unit = (load: string, file: string, active: string) =>
      found(machine({ systemd: { ...SYSTEMD, agentUnit: { load, file, active } } }));
    assert.deepEqual(unit("masked", "masked", "inactive"), ["error check/agent-unit"]);
    assert.deepEqual(unit("not-found", "unknown", "inactive"), ["error check/agent-unit"]);
    assert.deepEqual(unit("loaded", "disabled", "active"), ["error check/agent-unit"]);
    assert.deepEqual(unit("loaded", "enabled", "failed"), ["error check/agent-unit"]);
    const unused = volume("data UUID=1234 /etc/key luks");
    const disabled = { ...SYSTEMD, agentUnit: { load: "loaded", file: "disabled", active: "inactive" } };
    assert.deepEqual(found(machine({ volumes: [unused], systemd: disabled })), [], "nobody needs it");
  });

  test("the socket itself", () => {
    assert.deepEqual(found(machine({ socket: null })), ["error check/no-socket"]);
    assert.deepEqual(found(machine({ socket: { isSocket: false, mode: 0o600, uid: 0 } })), ["error check/no-socket"]);
    assert.deepEqual(found(machine({ socket: { isSocket: true, mode: 0o666, uid: 0 } })), ["error check/socket-mode"]);
    assert.deepEqual(found(machine({ socket: { isSocket: true, mode: 0o600, uid: 9 } })), ["error check/socket-mode"]);
  });

  test("configuration that is broken, or that others could change", () => {
    const configError = new NightlatchError("agent/bad-config", "agent.toml: line 3 is not TOML");
    assert.deepEqual(found(machine({ configError })), ["error check/config"]);
    const exposed = [refused("/etc/nightlatch/agent.toml", "changed")];
    assert.deepEqual(found(machine({ exposed })), ["error check/exposed"]);
    const [ofFstab] = [{ ...refused("/etc/fstab", "changed"), isAgents: false }];
    assert.deepEqual(found(machine({ exposed: [ofFstab] })), ["warning check/exposed"]);
  });

  const BLOG: Responder = {
    unit: "fetch-luks-key-data.socket",
    path: "/run/luks-key.sock",
    hasDefaultDependencies: true,
    before: ["cryptsetup.target", "sockets.target"],
    service: {
      unit: "fetch-luks-key-data@check.service",
      hasDefaultDependencies: true,
      after: ["network-online.target", "sysinit.target"],
    },
  };
  const withResponder = (responder: Responder, options: string): string[] =>
    found(
      machine({
        volumes: [volume(`data UUID=1234 ${responder.path} ${options}`, { bindings: [] })],
        systemd: { ...SYSTEMD, responders: [responder] },
      }),
    );

  test("the socket and service that people copy: a cycle, and a boot that hangs", () => {
    assert.deepEqual(withResponder(BLOG, "luks"), ["error check/unit-cycle", "error check/responder-waits"]);
    assert.deepEqual(withResponder(BLOG, "luks,_netdev"), ["error check/unit-cycle"]);
    assert.deepEqual(withResponder({ ...BLOG, before: ["sockets.target"] }, "luks,_netdev"), []);
    assert.deepEqual(withResponder({ ...BLOG, before: [], service: null }, "luks"), ["error check/unit-late"]);
    const own = { ...BLOG, hasDefaultDependencies: false, before: ["cryptsetup-pre.target"] };
    const service = { unit: "x.service", hasDefaultDependencies: false, after: ["x.socket"] };
    assert.deepEqual(withResponder({ ...own, service }, "luks"), []);
  });

  test("a cycle that systemd itself finds", () => {
    const cycles = ["a.socket: Found ordering cycle on sysinit.target/start"];
    assert.deepEqual(found(machine({ systemd: { ...SYSTEMD, cycles } })), ["error check/cycle"]);
  });

  test("errors come first", () => {
    const facts = machine({ exposed: [{ ...refused("/x", "changed"), isAgents: false }], socket: null });
    assert.deepEqual(found(facts), ["error check/no-socket", "warning check/exposed"]);
  });
});

describe("what the agent cannot do", () => {
  test("options that make systemd ask for something encrypted", () => {
    for (const option of ["tpm2-device=auto", "pkcs11-uri=auto", "fido2-device=auto"]) {
      assert.deepEqual(foundIn(`${GOOD_LINE},${option}`), ["error check/token-device"], option);
    }
  });

  test("a deadline that is longer than the mount waits", () => {
    const mounts = (options: string) => parseFstab(Buffer.from(`/dev/mapper/data /srv ext4 ${options} 0 2\n`));
    const network = "_netdev,nofail";
    assert.deepEqual(foundIn(GOOD_LINE, { deadlineMs: 90_000 }), []);
    assert.deepEqual(foundIn(GOOD_LINE, { deadlineMs: 300_000 }), ["warning check/mount-timeout"]);
    const facts = machine({ volumes: [volume(GOOD_LINE, { deadlineMs: 300_000 })] });
    assert.match(
      String(judge(facts)[0]?.remedy),
      /^line 1 of \/etc\/fstab: \/dev\/mapper\/data \/srv ext4 _netdev,nofail,x-systemd\.device-timeout=330s 0 2$/,
    );
    const longer = mounts(`${network},x-systemd.device-timeout=6m`);
    assert.deepEqual(foundIn(GOOD_LINE, { deadlineMs: 300_000, mounts: longer }), []);
    assert.deepEqual(foundIn(GOOD_LINE, { deadlineMs: 300_000, mounts: mounts(`${network},noauto`) }), []);
  });

  test("a name in agent.toml that crypttab does not have, and an identity that others may read", () => {
    assert.deepEqual(found(machine({ strangers: ["dat"] })), ["warning check/unknown-volume"]);
    const readableIdentity = refused("/var/lib/nightlatch/machine/identity.key", "read");
    assert.deepEqual(found(machine({ readableIdentity })), ["error check/identity"]);
  });
});

test("what a header says is one word of a printed command, whatever it says", () => {
  const url = "http://keys/$(touch x);'`id`";
  const error = (code: "net/timeout" | "pin/revoked") => new NightlatchError(code, "no");
  for (const code of ["net/timeout", "pin/revoked"] as const) {
    const bindings = [{ ...BINDING, kind: "tang", urls: [url], opens: false, error: error(code) }];
    const remedies = judge(machine({ volumes: [volume(GOOD_LINE, { bindings })] })).map(({ remedy }) => remedy);
    const commands = remedies
      .join("\n")
      .split("\n")
      .filter((step) => step.includes("touch"));
    assert.ok(commands.length > 0);
    for (const step of commands) {
      const command = step.replace(/^[a-z][^:]*: /, "").replace(/^\S+/, "printf '%s\\n'");
      const { stdout } = spawnSync("bash", ["-c", command], { encoding: "utf8" });
      assert.ok(
        stdout.split("\n").some((word) => word.startsWith(url)),
        stdout,
      );
    }
  }
});
