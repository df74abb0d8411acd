import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { CheckFacts, VolumeFacts } from "../../../src/cli/check/facts.ts";
import { gatherUnits } from "../../../src/cli/check/gather-units.ts";
import { judge } from "../../../src/cli/check/judge.ts";
import type { BindingStatus, VolumeStatus } from "../../../src/cli/volume-status.ts";
import { type ErrorCode, NightlatchError } from "../../../src/core/errors.ts";
import { DEFAULT_AGENT_CONFIG } from "../../../src/formats/agent-config.ts";
import { parseAgentConfig } from "../../../src/formats/agent-config-file.ts";
import { parseCrypttab } from "../../../src/formats/crypttab.ts";
import { mountsOf, parseFstab } from "../../../src/formats/fstab.ts";
import { parseUnitProperties, type UnitProperties } from "../../../src/formats/unit-properties.ts";
import type { Command, FileFacts } from "../../../src/system/port.ts";

const SOCKET = "/run/nightlatch/agent.sock";
const LINE = `backup UUID=9f1c ${SOCKET} luks,_netdev,nofail`;
const FSTAB = "/dev/mapper/backup /srv/backup ext4 defaults,_netdev,nofail 0 2";

const file = (kind: FileFacts["kind"], mode: number, uid = 0): FileFacts => ({ kind, mode, uid, gid: 0, sizeBytes: 1 });

function binding(code: ErrorCode | null, keyslot = 1, kind = "latch"): BindingStatus {
  return {
    binding: {
      token: { id: keyslot, type: "clevis", keyslots: [keyslot], json: { type: "clevis" }, digest: "x" },
      kind,
      urls: ["http://keys:7654"],
      fault: null,
    },
    opens: code === null ? true : code === "pin/unsupported" ? null : false,
    error: code === null ? null : new NightlatchError(code, `said ${code}`),
  };
}

const status = (more: Partial<VolumeStatus> = {}): VolumeStatus => ({
  device: "/dev/vdb",
  version: 2,
  uuid: "9f1c",
  label: "",
  keyslots: { used: 2, total: 32 },
  bindings: [binding(null)],
  others: [],
  leftovers: [],
  warnings: [],
  ...more,
});

const unit = (text: string): UnitProperties => parseUnitProperties(text)[0] ?? new Map();

interface Scene {
  readonly crypttab?: string;
  readonly fstab?: string;
  readonly config?: string;
  readonly status?: VolumeStatus | null;
  readonly error?: NightlatchError;
  readonly keyKind?: FileFacts["kind"] | null;
  readonly agent?: Partial<CheckFacts["agent"]>;
  readonly state?: CheckFacts["state"];
  readonly units?: CheckFacts["units"] | Partial<NonNullable<CheckFacts["units"]>>;
}

/** A machine on which nothing is wrong, but for what the scene says. */
function facts(scene: Scene = {}): CheckFacts {
  const { entries, faults } = parseCrypttab(Buffer.from(scene.crypttab ?? LINE));
  const fstab = parseFstab(Buffer.from(scene.fstab ?? FSTAB));
  const config =
    scene.config === undefined ? DEFAULT_AGENT_CONFIG : parseAgentConfig(Buffer.from(scene.config), "agent.toml");
  const volumes = entries.map((entry): VolumeFacts => {
    const configured = config.volumes.get(entry.volume);
    return {
      entry,
      command: configured?.command ?? null,
      deadlineMs: configured?.deadlineMs ?? config.deadlineMs,
      key:
        entry.key === null ? null : { path: entry.key, kind: scene.keyKind === undefined ? "socket" : scene.keyKind },
      mounts: mountsOf(fstab, entry.volume),
      status: scene.error === undefined ? (scene.status ?? status()) : null,
      error: scene.error ?? null,
    };
  });
  return {
    crypttab: { path: "/etc/crypttab", faults },
    fstab,
    agent: {
      socketPath: SOCKET,
      socket: file("socket", 0o600),
      socketFolder: file("directory", 0o700),
      configPath: "/etc/nightlatch/agent.toml",
      configFile: scene.config === undefined ? null : file("file", 0o644),
      configError: null,
      config,
      missingPrograms: [],
      ...scene.agent,
    },
    volumes,
    state: scene.state ?? [],
    units:
      scene.units === null
        ? null
        : {
            agentSocket: unit("Id=nightlatch-agent.socket\nActiveState=active\nUnitFileState=enabled"),
            cycles: [],
            early: [],
            keySockets: [],
            ...scene.units,
          },
  };
}

const brief = (scene: Scene) =>
  judge(facts(scene)).map(({ severity, code, subject }) => `${severity} ${code} ${subject}`);
const remedies = (scene: Scene) => judge(facts(scene)).map(({ remedy }) => remedy);

test("nothing is found where nothing is wrong, nor without any volume", () => {
  assert.deepEqual(judge(facts()), []);
  assert.deepEqual(judge(facts({ crypttab: "", fstab: "" })), []);
  assert.deepEqual(brief({ crypttab: "", fstab: "", agent: { socket: null }, units: { agentSocket: null } }), []);
});

describe("a volume's line in crypttab", () => {
  const line = (options: string) => ({ crypttab: `backup UUID=9f1c ${SOCKET} ${options}` });

  test("without _netdev, and without nofail", () => {
    assert.deepEqual(brief(line("luks")), ["error volume/no-netdev backup"]);
    assert.deepEqual(remedies(line("luks,tries=1")), [
      `Line 1 of /etc/crypttab should be: backup UUID=9f1c ${SOCKET} luks,tries=1,_netdev,nofail`,
    ]);
    assert.deepEqual(brief(line("luks,_netdev")), ["warning volume/no-nofail backup"]);
    assert.deepEqual(remedies(line("luks,_netdev,nofail,fail")), [
      `Line 1 of /etc/crypttab should be: backup UUID=9f1c ${SOCKET} luks,_netdev,nofail`,
    ]);
    const config = '[volume.backup]\nexec = ["/usr/bin/key"]';
    assert.deepEqual(brief({ ...line("luks"), config, fstab: "" }), ["note volume/no-netdev backup"]);
  });

  test("options that do not go with a socket", () => {
    const network = "luks,_netdev,nofail";
    assert.deepEqual(brief(line(`${network},keyfile-size=32`)), ["error volume/keyfile-option backup"]);
    assert.deepEqual(brief(line(`${network},keyfile-size=54`)), []);
    assert.deepEqual(brief(line(`${network},keyfile-offset=1`)), ["error volume/keyfile-option backup"]);
    assert.deepEqual(brief(line(`${network},headless=1`)), ["warning volume/headless backup"]);
    assert.deepEqual(brief(line(`${network},headless=no`)), []);
    assert.deepEqual(brief(line(`${network},tpm2-device=auto`)), ["error volume/token-device backup"]);
    assert.deepEqual(remedies(line(`header=/a\\,b,keyfile-offset=1,keyfile-size=2,${network}`)), [
      `Line 1 of /etc/crypttab should be: backup UUID=9f1c ${SOCKET} header=/a\\,b,${network}`,
    ]);
  });

  test("a volume that the initramfs opens", () => {
    const root = { fstab: "/dev/mapper/backup / ext4 _netdev,nofail 0 1" };
    assert.deepEqual(brief(root), ["error volume/initramfs backup"]);
    assert.deepEqual(brief(line("luks,_netdev,nofail,initramfs")), ["error volume/initramfs backup"]);
  });

  test("a line that systemd ignores", () => {
    assert.deepEqual(brief({ crypttab: `${LINE}\nalone` }), ["warning crypttab/ignored-line /etc/crypttab:2"]);
  });

  test("another key than the agent's", () => {
    assert.deepEqual(brief({ crypttab: "backup UUID=9f1c /root/key luks", keyKind: "file" }), []);
    assert.deepEqual(brief({ crypttab: "backup UUID=9f1c none luks" }), ["warning volume/binding-unused backup"]);
    const misspelt = { crypttab: "backup UUID=9f1c /run/nightlatch/agent.socket luks,_netdev,nofail", keyKind: null };
    assert.deepEqual(brief(misspelt), ["error volume/no-key backup"]);
    assert.deepEqual(remedies(misspelt), [`Line 1 of /etc/crypttab should be: ${LINE}`]);
  });
});

describe("fstab", () => {
  const mount = (options: string) => ({ fstab: `/dev/mapper/backup /srv/my\\040backup ext4 ${options}` });

  test("without _netdev the local file systems wait for it", () => {
    assert.deepEqual(brief(mount("defaults")), ["error fstab/no-netdev /srv/my backup"]);
    assert.deepEqual(brief(mount("nofail")), ["warning fstab/no-netdev /srv/my backup"]);
    assert.deepEqual(brief(mount("_netdev")), ["warning fstab/no-nofail /srv/my backup"]);
    assert.deepEqual(brief(mount("noauto")), []);
    assert.deepEqual(remedies(mount("defaults,noatime")), [
      "The options of line 1 of /etc/fstab should be: noatime,_netdev,nofail",
    ]);
  });

  test("a mount that gives up before the agent does", () => {
    const config = 'deadline = "5m"';
    assert.deepEqual(brief({ config }), ["warning fstab/timeout /srv/backup"]);
    assert.match(String(remedies({ config })), /_netdev,nofail,x-systemd\.device-timeout=330s$/);
    assert.deepEqual(brief({ config, ...mount("_netdev,nofail,x-systemd.device-timeout=10m") }), []);
  });
});

describe("what the header holds", () => {
  test("no binding, no passphrase, leftovers, damage", () => {
    assert.deepEqual(brief({ status: status({ bindings: [] }) }), ["error volume/no-binding backup"]);
    assert.deepEqual(brief({ status: status({ keyslots: { used: 1, total: 32 } }) }), [
      "error volume/no-passphrase backup",
    ]);
    const others = [{ id: 2, type: "systemd-recovery", keyslots: [0], json: { type: "x" }, digest: "y" }];
    assert.deepEqual(brief({ status: status({ others }) }), [], "a recovery key is a passphrase");
    assert.deepEqual(brief({ status: status({ leftovers: ["a"], warnings: ["b"] }) }), [
      "warning volume/leftovers backup",
      "warning volume/header backup",
    ]);
    const error = new NightlatchError("luks/damaged", "the header is damaged", { remedy: "Restore it." });
    assert.deepEqual(brief({ error }), ["error volume/unreadable backup"]);
    assert.deepEqual(remedies({ error }), ["Restore it."]);
  });

  test("bindings that do not open: each failure by its code, the worse where no other opens", () => {
    const cases: readonly (readonly [ErrorCode, string])[] = [
      ["net/unreachable", "binding/unreachable"],
      ["net/timeout", "binding/unreachable"],
      ["pin/busy", "binding/unreachable"],
      ["pin/bad-reply", "binding/unreachable"],
      ["pin/locked", "binding/locked"],
      ["pin/revoked", "binding/refused"],
      ["pin/unknown-key", "binding/refused"],
      ["pin/wrong-key", "binding/does-not-open"],
      ["luks/not-proved", "binding/does-not-open"],
      ["clevis/malformed", "binding/does-not-open"],
    ];
    for (const [code, expected] of cases) {
      assert.deepEqual(brief({ status: status({ bindings: [binding(code)] }) }), [`error ${expected} backup`], code);
      const spare = status({ keyslots: { used: 3, total: 32 }, bindings: [binding(code), binding(null, 2)] });
      assert.deepEqual(brief({ status: spare }), [`warning ${expected} backup`], code);
    }
    const unsupported = status({ bindings: [binding("pin/unsupported", 1, "tpm2")] });
    assert.deepEqual(brief({ status: unsupported }), ["note binding/not-tried backup"]);
  });
});

describe("the agent", () => {
  test("its socket unit", () => {
    const socket = (text: string) => ({ units: { agentSocket: unit(text) } });
    assert.deepEqual(brief(socket("ActiveState=active\nUnitFileState=disabled")), [
      "error agent/socket-disabled nightlatch-agent.socket",
    ]);
    assert.deepEqual(brief(socket("ActiveState=failed\nUnitFileState=enabled")), [
      "error agent/socket-inactive nightlatch-agent.socket",
    ]);
    assert.deepEqual(brief({ units: { agentSocket: null }, agent: { socket: null } }), [
      "error agent/socket-disabled nightlatch-agent.socket",
      "error agent/socket-inactive nightlatch-agent.socket",
    ]);
    assert.deepEqual(brief({ agent: { socket: file("socket", 0o666) } }), [
      "error agent/socket-permissions nightlatch-agent.socket",
    ]);
    assert.deepEqual(brief({ agent: { socketFolder: file("directory", 0o777) } }), [
      "error agent/socket-permissions nightlatch-agent.socket",
    ]);
  });

  test("its configuration", () => {
    const configError = new NightlatchError("agent/bad-config", "agent.toml: line 2 is not TOML");
    assert.deepEqual(brief({ agent: { configError } }), ["error agent/bad-config /etc/nightlatch/agent.toml"]);
    const config = '[volume.other]\nexec = ["/usr/bin/key"]';
    assert.deepEqual(brief({ config, agent: { missingPrograms: ["/usr/bin/key"] } }), [
      "error agent/no-program /etc/nightlatch/agent.toml",
      "warning agent/unknown-volume /etc/nightlatch/agent.toml",
    ]);
    for (const configFile of [file("file", 0o664), file("file", 0o600, 1000)]) {
      assert.deepEqual(brief({ agent: { configFile } }), ["error agent/config-permissions /etc/nightlatch/agent.toml"]);
    }
  });

  test("what the machine keeps about itself", () => {
    const state = [
      { path: "/s", facts: file("directory", 0o755) },
      { path: "/s/identity.key", facts: file("file", 0o640) },
      { path: "/s/lock", facts: file("file", 0o600) },
    ];
    assert.deepEqual(brief({ state }), ["error state/permissions /s", "error state/permissions /s/identity.key"]);
    assert.deepEqual(remedies({ state })[1], "chown root:root /s/identity.key && chmod 600 /s/identity.key");
  });
});

describe("units", () => {
  test("systemd does not answer", () => {
    assert.deepEqual(brief({ units: null }), ["note unit/unchecked systemd"]);
  });

  test("a cycle, and a unit that makes one", () => {
    const cycles = [{ units: ["a.socket", "sysinit.target", "cryptsetup.target"], deleted: "a.socket" }];
    const early = [unit("Id=a.socket\nDefaultDependencies=yes"), unit("Id=b.service\nDefaultDependencies=no")];
    assert.deepEqual(brief({ units: { cycles, early } }), [
      "error unit/ordering-cycle a.socket",
      "error unit/default-dependencies a.socket",
    ]);
  });

  test("a responder that waits for the network, for a volume that the network waits for", () => {
    const socket = unit("Id=fetch.socket\nListen=/run/key.sock (Stream)");
    const service = unit("Id=fetch@check.service\nAfter=sysinit.target network-online.target");
    const keySockets = [{ path: "/run/key.sock", socket, service }];
    const waits = { crypttab: "backup UUID=9f1c /run/key.sock luks", units: { keySockets } };
    assert.deepEqual(brief(waits), ["error unit/waits-for-network fetch@check.service"]);
    assert.deepEqual(brief({ ...waits, crypttab: "backup UUID=9f1c /run/key.sock luks,_netdev,nofail" }), []);
  });

  test("are read with systemctl and systemd-analyze, and nothing else", async () => {
    const commands: Command["argv"][] = [];
    const answers: Record<string, string> = {
      "nightlatch-agent.socket": "Id=nightlatch-agent.socket\nLoadState=loaded\nActiveState=active\n",
      "cryptsetup-pre.target cryptsetup.target":
        "Id=cryptsetup-pre.target\nAfter=nightlatch-agent.socket\n\nId=cryptsetup.target\n" +
        "After=systemd-cryptsetup@backup.service cryptsetup-pre.target fetch.socket dev-vdb.device\n",
      "fetch.socket": "Id=fetch.socket\nDefaultDependencies=yes\n",
      "*.socket":
        "Id=dbus.socket\nListen=/run/dbus/system_bus_socket (Stream)\nAccept=no\n\n" +
        "Id=fetch.socket\nListen=/run/key.sock (Stream)\nListen=/run/other.sock (Stream)\nAccept=yes\n",
      "fetch@check.service": "Id=fetch@check.service\nAfter=network-online.target\n",
    };
    const run = async ({ argv }: Command) => {
      commands.push(argv);
      const isShow = argv[0] === "systemctl";
      const stdout = isShow ? (answers[argv.slice(argv.indexOf("--") + 1).join(" ")] ?? "") : "";
      const stderr = isShow ? "" : VERIFY;
      return { status: 0, signal: null, stdout: Buffer.from(stdout), stderr: Buffer.from(stderr) };
    };
    const units = await gatherUnits({ run }, ["/run/other.sock"], new AbortController().signal);
    assert.deepEqual(units?.cycles, [
      {
        units: ["fetch-luks-key-volume1.socket", "sysinit.target", "cryptsetup.target"],
        deleted: "fetch-luks-key-volume1.socket",
      },
    ]);
    assert.deepEqual(
      units?.early.map((early) => early.get("Id")),
      ["fetch.socket"],
    );
    assert.deepEqual(
      units?.keySockets.map(({ path, service }) => [path, service?.get("Id")]),
      [["/run/other.sock", "fetch@check.service"]],
    );
    const show = ["systemctl", "show"];
    assert.ok(commands.every((argv) => argv[0] === "systemd-analyze" || argv.slice(0, 2).join() === show.join()));
    assert.deepEqual(commands[1], ["systemd-analyze", "--man=no", "verify", "default.target"]);
  });

  test("no systemd: its programs are missing, or it is not running", async () => {
    const { signal } = new AbortController();
    const missing = async () => {
      throw new NightlatchError("system/missing-program", "none");
    };
    assert.equal(await gatherUnits({ run: missing }, [], signal), null);
    const down = async () => ({
      status: 1,
      signal: null,
      stdout: Buffer.alloc(0),
      stderr: Buffer.from("Host is down"),
    });
    assert.equal(await gatherUnits({ run: down }, [], signal), null);
  });
});

/** systemd 252, `systemd-analyze --man=no verify default.target`, with a socket that has Before=cryptsetup.target and default dependencies. */
const VERIFY = `\
cryptsetup.target: Found ordering cycle on fetch-luks-key-volume1.socket/start
cryptsetup.target: Found dependency on sysinit.target/start
cryptsetup.target: Found dependency on cryptsetup.target/start
cryptsetup.target: Job fetch-luks-key-volume1.socket/start deleted to break ordering cycle starting with cryptsetup.target/start
`;
