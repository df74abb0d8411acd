/**
 * Every remedy that `nightlatch check` prints, applied to the letter on a machine that was broken
 * for it: the finding is gone then, no error is there that was not there before, and what the user
 * wrote beside it still is.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { FINDING_CODES, type FindingCode } from "../../../src/check/judge/finding.ts";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as crypttab } from "../../../src/cli/commands/crypttab/crypttab.ts";
import { writeCpio } from "../../../src/formats/initramfs/cpio.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import {
  AGENT,
  CheckMachine,
  CONFIG,
  CRYPTTAB,
  codesOf,
  FSTAB,
  OWN,
  RECOVERY,
  STATE,
} from "../../support/check-machine.ts";
import { device, folder, initramfs, makeDevices, noCryptsetup, PASSPHRASE } from "../../support/reboot/world.ts";
import { type Served, serve } from "../../support/serve.ts";
import { runCommand } from "../../support/terminal.ts";
import { addToken, patch, runTool } from "../../support/volumes.ts";

interface Break {
  readonly what?: string;
  readonly how: (machine: CheckMachine) => void | Promise<void>;
  /** Does what a step says that is no command and no line. */
  readonly person?: (machine: CheckMachine, step: string) => void | Promise<void>;
  /** It only tells: nothing goes wrong. */
  readonly stays?: boolean;
  /** The server is not as it was. */
  readonly spoils?: boolean;
  /** Typed at a command's question. */
  readonly typed?: string;
}

const where = (file: string, name: string) => ({ file, name });
const inCrypttab = (from: string | RegExp, to: string) => (machine: CheckMachine) =>
  machine.edit(CRYPTTAB, (text) => text.replace(from, to));
const inFstab = (from: string | RegExp, to: string) => (machine: CheckMachine) =>
  machine.edit(FSTAB, (text) => text.replace(from, to));
const unit = (load: string, file: string, active: string) => (machine: CheckMachine) => {
  machine.agentLoads = load;
  machine.agentActive = active;
  machine.units.set("nightlatch-agent.socket", file);
};
const GENERATORS = "test/guest/harness/check-initramfs.ts";

/** Each finding: how a machine comes to have it; or the test that applies its remedy elsewhere. */
const BREAKS: Readonly<Record<FindingCode, readonly Break[] | { readonly file: string; readonly name: string }>> = {
  "check/crypttab": [
    {
      how: (machine) => machine.edit(CRYPTTAB, (text) => `${text}broken\n`),
      person: (machine) => machine.edit(CRYPTTAB, (text) => text.replace("broken\n", "")),
    },
  ],
  "check/config": [
    {
      how: (machine) => machine.write(CONFIG, "deadline = nonsense\n"),
      person: (machine) => machine.write(CONFIG, ""),
    },
  ],
  "check/exposed": [{ how: (machine) => chmodSync(machine.at(CRYPTTAB), 0o666) }],
  "check/identity": [{ how: (machine) => chmodSync(machine.at(`${STATE}/identity.key`), 0o640) }],
  "check/unknown-volume": [
    {
      how: (machine) => machine.write(CONFIG, '[volume.dat]\ndeadline = "30s"\n'),
      person: (machine) => machine.write(CONFIG, ""),
    },
  ],
  "check/tether": [
    { what: "that nobody runs", how: (machine) => machine.write(CONFIG, "[tether]\n") },
    {
      what: "that has nothing to suspend",
      how: (machine) => {
        machine.write(CONFIG, "[tether]\n");
        for (const name of ["heartbeat", "tether"]) machine.units.set(`nightlatch-${name}.service`, "enabled");
        inFstab("/srv", "/var")(machine);
      },
      person: (machine) => machine.write(CONFIG, '[tether]\naction = "power-off"\n'),
    },
    {
      what: "that names no volume",
      how: (machine) => {
        machine.write(CONFIG, '[tether]\nvolumes = ["dat"]\n');
        for (const name of ["heartbeat", "tether"]) machine.units.set(`nightlatch-${name}.service`, "enabled");
      },
      person: (machine) => machine.write(CONFIG, '[tether]\nvolumes = ["data"]\n'),
    },
  ],
  "check/heartbeat": [
    {
      how: (machine) => void machine.units.set("nightlatch-heartbeat.service", "enabled"),
      person: () => {},
    },
    { what: "that nobody sends", how: (machine) => machine.write(CONFIG, "[heartbeat]\n") },
    {
      what: "to a server that does not know it",
      how: (machine) => {
        machine.units.set("nightlatch-heartbeat.service", "enabled");
        machine.write(CONFIG, '[heartbeat]\nservers = ["http://192.0.2.1:7654"]\n');
      },
      person: (machine, step) => {
        const [servers] = /servers = \[.*?\]/.exec(step) ?? [];
        if (servers !== undefined) machine.write(CONFIG, `[heartbeat]\n${servers}\n`);
      },
    },
  ],
  "check/witness": [
    {
      how: async (machine) => {
        const { witness } = await (await otherServer()).json("witness", "list");
        machine.write(CONFIG, `[witness]\nkeys = ["${witness}"]\n`);
      },
      person: (machine, step) => (step.includes("witness ask") ? cosign(machine.server) : undefined),
      spoils: true,
    },
    {
      what: "whose key was changed",
      how: (machine) => machine.write(CONFIG, `[witness]\nkeys = ["other+00000000+B${"A".repeat(43)}"]\n`),
      person: (machine) => machine.write(CONFIG, ""),
    },
  ],
  "check/no-netdev": [
    { how: inCrypttab(",_netdev", "") },
    {
      what: "that only its mount did not need",
      how: (machine) => {
        inCrypttab(",_netdev", "")(machine);
        inFstab(/.*\/srv.*\n/, "")(machine);
        machine.units.set("remote-cryptsetup.target", "disabled");
      },
    },
  ],
  "check/no-nofail": [
    { how: inCrypttab(",nofail", "") },
    { what: "by fail", how: inCrypttab(",nofail", ",nofail,fail") },
  ],
  "check/mount-no-netdev": [
    { how: inFstab("noatime,_netdev,nofail", "noatime") },
    {
      what: "with a long deadline",
      how: (machine) => {
        machine.write(CONFIG, 'deadline = "5m"\n');
        inFstab(",_netdev", "")(machine);
      },
    },
  ],
  "check/mount-no-nofail": [{ how: inFstab(",nofail", "") }],
  "check/mount-timeout": [{ how: (machine) => machine.write(CONFIG, 'deadline = "5m"\n') }],
  "check/root-netdev": [{ how: inFstab("errors=remount-ro", "errors=remount-ro,_netdev,nofail") }],
  "check/nobody-starts": [
    {
      how: (machine) => {
        inFstab(/.*\/srv.*\n/, "")(machine);
        machine.units.set("remote-cryptsetup.target", "disabled");
      },
    },
  ],
  "check/token-device": [{ how: inCrypttab("_netdev", "_netdev,tpm2-device=auto") }],
  "check/key-cut": [{ how: inCrypttab("_netdev", "keyfile-size=64,keyfile-offset=1,_netdev") }],
  "check/key-slot": [{ how: inCrypttab("_netdev", "key-slot=7,_netdev") }],
  "check/headless": [{ how: inCrypttab("_netdev", "headless=1,_netdev"), person: () => {} }],
  "check/no-key": [
    { how: inCrypttab(AGENT, "/etc/gone.key") },
    { what: "of a root", how: inCrypttab(" none luks", " /etc/gone.key luks"), person: () => {} },
  ],
  "check/not-asked": [
    { how: inCrypttab(AGENT, "none") },
    {
      what: "as a local volume",
      how: (machine) => {
        inCrypttab(`${AGENT} luks,${OWN},_netdev,nofail`, `none luks,${OWN}`)(machine);
        inFstab("noatime,_netdev,nofail", "noatime")(machine);
      },
    },
    {
      what: "that no line of fstab mounts",
      how: (machine) => {
        inCrypttab(AGENT, "-")(machine);
        inFstab(/.*\/srv.*\n/, "")(machine);
        machine.units.set("remote-cryptsetup.target", "disabled");
      },
    },
  ],
  "check/agent-unit": [
    { what: "masked", how: unit("masked", "masked", "inactive") },
    { what: "disabled", how: unit("loaded", "disabled", "inactive") },
    { what: "failed", how: unit("loaded", "enabled", "failed") },
    { what: "missing", how: unit("not-found", "", "inactive"), person: unit("loaded", "enabled", "active") },
  ],
  "check/no-socket": [{ how: (machine) => machine.close() }],
  "check/socket-mode": [{ how: (machine) => machine.listen(0o666), person: () => {} }],
  "check/cycle": [
    {
      how: (machine) => {
        machine.cycle = "Found ordering cycle on sysinit.target/start";
      },
      person: (machine) => {
        machine.cycle = "";
      },
    },
  ],
  "check/unit-cycle": [{ how: (machine) => ownResponder(machine, "cryptsetup.target", "own.socket") }],
  "check/unit-late": [{ how: (machine) => ownResponder(machine, "sockets.target", "own.socket") }],
  "check/responder-waits": [
    { how: (machine) => ownResponder(machine, "sockets.target", "network-online.target", true) },
  ],
  "check/initramfs": [
    { how: inCrypttab(" none luks", ` ${AGENT} luks`) },
    {
      what: "after the advice of an older release, to the end",
      how: (machine) => {
        inCrypttab(` none luks,${OWN},initramfs`, ` ${AGENT} luks,${OWN},initramfs,_netdev,nofail`)(machine);
        inFstab("errors=remount-ro", "errors=remount-ro,_netdev,nofail")(machine);
        machine.rebuild();
      },
    },
  ],
  "check/initramfs-missing": [
    { how: (machine) => machine.write("/boot/initrd", initramfs("")) },
    {
      what: "by a mark of another generator",
      how: inCrypttab(`${AGENT} luks,${OWN},_netdev`, `none luks,${OWN},x-initrd.attach,_netdev`),
    },
  ],
  "check/initramfs-unknown": [
    {
      how: (machine) => machine.write("/boot/extlinux/extlinux.conf", "DEFAULT a\n"),
      person: (machine) => rmSync(machine.at("/boot/extlinux/extlinux.conf")),
    },
  ],
  "check/initramfs-stack": [
    {
      how: (machine) => {
        machine.write("/boot/initrd", foreignInitramfs());
        machine.edit("/boot/grub/grub.cfg", (text) =>
          text.replace(" ro", ` cryptdevice=${device("root")}:cryptroot ro`),
        );
      },
      person: (machine) => machine.rebuild(),
    },
  ],
  "check/initramfs-clevis": [
    {
      how: (machine) => {
        machine.hasClevis = false;
        machine.rebuild();
      },
    },
  ],
  "check/initramfs-network": [
    {
      how: (machine) => machine.edit("/boot/grub/grub.cfg", (text) => text.replace(" ro\n", " ro ip=off\n")),
      person: (machine) => machine.edit("/boot/grub/grub.cfg", (text) => text.replace(" ip=off", "")),
    },
  ],
  "check/initramfs-driver": [
    {
      how: (machine) => machine.plugCard("virtio_net"),
    },
  ],
  "check/initramfs-certificates": where(GENERATORS, "certificates, by each generator"),
  "check/initramfs-deadline": [
    {
      how: (machine) => {
        machine.hasDeadline = false;
        machine.rebuild();
      },
    },
  ],
  "check/initramfs-name": where(GENERATORS, "a new user's way, with nothing but what check prints"),
  "check/no-device": [
    {
      how: (machine) =>
        machine.edit(CRYPTTAB, (text) => `${text}gone UUID=00000000-0000-4000-8000-00000000dead none luks\n`),
      person: (machine) => machine.edit(CRYPTTAB, (text) => text.replace(/^gone .*\n/m, "")),
    },
  ],
  "check/unreadable": [
    {
      how: () =>
        patch(
          device("data"),
          [0, 16384].map((offset) => [offset, Buffer.alloc(6)] as const),
        ),
      person: () => copyFileSync(`${device("data")}.kept`, device("data")),
    },
  ],
  "check/no-binding": [
    { how: async (machine) => void (await machine.apply(`nightlatch unbind ${device("data")} latch`)) },
  ],
  "check/no-command": [
    {
      how: (machine) => machine.write(CONFIG, `[volume.data]\nexec = ["/etc/print-key"]\n`),
      person: (machine) => {
        machine.write("/etc/print-key", "#!/bin/sh\n");
        chmodSync(machine.at("/etc/print-key"), 0o755);
      },
    },
  ],
  "check/binding": [
    {
      what: "locked",
      how: async ({ server }) => void (await server.json("machine", "lock", "data")),
      person: async ({ server }) => void (await server.json("machine", "unlock", "data")),
    },
    {
      what: "revoked",
      how: async ({ server }) => void (await server.json("machine", "revoke", "data", "--yes")),
      spoils: true,
    },
    {
      what: "a damaged token",
      how: () => damageToken(),
      typed: "",
    },
    {
      what: "a token of no keyslot",
      how: () => addToken(device("data"), { ...boundToken().token, keyslots: [] }),
    },
  ],
  "check/rotated": where(
    "test/interop/bind/rotate.test.ts",
    "a rotation at the server is told, followed, and told no more",
  ),
  "check/tpm-state": where("test/interop/check/tpm2.test.ts", "the registers of a binding are judged"),
  "check/tpm-update": where("test/interop/check/tpm2.test.ts", "the registers of a binding are judged"),
  "check/tpm-moving": where("test/interop/check/tpm2.test.ts", "the registers of a binding are judged"),
  "check/binding-untried": [
    {
      how: () => addToken(device("data"), { type: "clevis", keyslots: ["1"], jwe: foreignJwe() }),
      stays: true,
    },
  ],
  "check/no-passphrase": [
    {
      how: () => void runTool(["cryptsetup", "luksKillSlot", "-q", device("data"), "0"]),
    },
  ],
  "check/leftover": where(
    "test/interop/luks/leftovers.test.ts",
    "a backup that is not explained is kept and told about",
  ),
  "check/header": [
    {
      how: () => patch(device("data"), [[16384 + 5000, Buffer.from("damaged")]]),
      typed: "YES\n",
    },
  ],
};

let other: Served | null = null;

/** A server that is none of the machine's, for a witness. */
async function otherServer(): Promise<Served> {
  other ??= await serve();
  return other;
}

/** Has it cosign the log of a server, which asks for it. */
async function cosign(server: Served): Promise<void> {
  const by = await otherServer();
  const { log } = await server.json("witness", "list");
  const { witness } = await by.json("witness", "list");
  await by.json("witness", "cosign", String(log));
  await server.json("witness", "ask", by.url, String(witness));
  const signed = async () => JSON.stringify(await by.json("witness", "list"));
  while ((await signed()).includes('"size":0')) await nodeSystem.sleep(100);
}

function ownResponder(machine: CheckMachine, before: string, after: string, isEarly = false): void {
  machine.responder = { before, after };
  inCrypttab(`${AGENT} luks,${OWN},_netdev,nofail`, `/run/own.sock luks,${OWN}`)(machine);
  inFstab("noatime,_netdev,nofail", "noatime")(machine);
  machine.write("/run/own.sock", "");
  if (isEarly) machine.write("/etc/systemd/system/own.socket.d/nightlatch.conf", "");
}

/** mkinitcpio's, by the files that tell it; it opens the root all the same. */
function foreignInitramfs(): Buffer {
  const files = ["init_functions", "buildconfig", "usr/bin/cryptsetup", "hooks/encrypt"];
  return writeCpio(files.map((name) => ({ name, mode: 0o644, content: Buffer.alloc(0) })));
}

interface Token {
  readonly type: string;
  readonly keyslots: readonly string[];
  readonly jwe: Readonly<Record<string, unknown>>;
}

function boundToken(): { readonly id: string; readonly token: Token } {
  const dump = JSON.parse(String(runTool(["cryptsetup", "luksDump", "--dump-json-metadata", device("data")]))) as {
    tokens: Readonly<Record<string, Token>>;
  };
  const [found] = Object.entries(dump.tokens).filter(([, { type }]) => type === "clevis");
  assert.ok(found !== undefined);
  return { id: found[0], token: found[1] };
}

function damageToken(): void {
  const { id, token } = boundToken();
  runTool(["cryptsetup", "token", "remove", "--token-id", id, device("data")]);
  addToken(device("data"), { ...token, jwe: { ...token.jwe, protected: "bm9uc2Vuc2U" } });
}

function foreignJwe(): Readonly<Record<string, unknown>> {
  const header = Buffer.from(JSON.stringify({ alg: "dir", enc: "A256GCM", clevis: { pin: "yubikey", yubikey: {} } }));
  return { ...boundToken().token.jwe, protected: header.toString("base64url") };
}

const NAMES = ["root", "data"] as const;
const skip =
  noCryptsetup ||
  (process.getuid?.() === 0 ? false : "a namespace of its own needs root") ||
  (existsSync("/usr/bin/unshare") ? false : "no unshare");

before(async () => {
  if (skip !== false) return;
  await makeDevices();
  for (const name of NAMES) copyFileSync(device(name), `${device(name)}.blank`);
});

/**
 * The server that both volumes are bound at, and what its machines keep; made anew when a break has
 * spoilt it.
 */
interface Bound {
  readonly server: Served;
  readonly state: string;
}

let bound: Bound | null = null;

async function makeBound(): Promise<Bound> {
  const server = await serve();
  const state = mkdtempSync(join(folder, "state-"));
  for (const name of NAMES) {
    copyFileSync(`${device(name)}.blank`, device(name));
    const { invite } = await server.json("machine", "invite", name);
    const keyFile = join(folder, "passphrase");
    writeFileSync(keyFile, PASSPHRASE);
    const own = name === "data" ? state : join(folder, "other");
    rmSync(own, { recursive: true, force: true });
    await runCommand(bind, [device(name), "latch", String(invite), "--key-file", keyFile, "--state", own], nodeSystem);
    copyFileSync(device(name), `${device(name)}.kept`);
  }
  return { server, state };
}

/** A clean machine: both volumes bound, each as a machine of its own at the server. */
async function makeMachine(): Promise<CheckMachine> {
  bound ??= await makeBound();
  for (const name of NAMES) copyFileSync(`${device(name)}.kept`, device(name));
  const machine = new CheckMachine(bound.server);
  cpSync(bound.state, machine.at(STATE), { recursive: true });
  await machine.listen();
  return machine;
}

async function spoil(): Promise<void> {
  await bound?.server[Symbol.asyncDispose]();
  bound = null;
}

after(async () => {
  await spoil();
  await other?.[Symbol.asyncDispose]();
});

describe("each remedy, applied to the letter", { skip, concurrency: 1 }, () => {
  for (const code of FINDING_CODES) {
    const breaks = BREAKS[code];
    if ("file" in breaks) continue;
    for (const [index, one] of breaks.entries()) {
      const skip = index === 0 || process.env["NIGHTLATCH_TEST_FULL"] ? false : "runs with script/test --full";
      test([code, one.what].filter(Boolean).join(", "), { skip }, () => tryRemedy(code, one));
    }
  }
});

test("a remedy that is not applied here is applied by a test that there is", () => {
  for (const one of Object.values(BREAKS)) {
    if (!("file" in one)) continue;
    assert.ok(
      readFileSync(join(import.meta.dirname, "../../..", one.file), "utf8").includes(one.name),
      `${one.file}: ${one.name}`,
    );
  }
});

async function tryRemedy(
  code: FindingCode,
  { how, person, stays = false, spoils = false, typed = "" }: Break,
): Promise<void> {
  const machine = await makeMachine();
  try {
    assert.deepEqual(await machine.check(), []);
    await how(machine);
    const first = await machine.check();
    const finding = first.find((one) => one.code === code);
    assert.ok(finding !== undefined, codesOf(first).join(", "));
    const other = [CRYPTTAB, FSTAB].map((path) => machine.read(path).split("\n"));
    // Applying one must do; the others of that break are applied after it, each to the letter.
    for (const { remedy, code: applied } of [finding, ...first.filter((one) => one !== finding)]) {
      for (const step of remedy.split("\n")) await applyStep(machine, step, typed, person);
      if (machine.restarted) await machine.listen();
      const now = await machine.check();
      const errors = codesOf(now.filter(({ severity }) => severity === "error"));
      assert.deepEqual(
        errors.filter((error) => !codesOf(first).includes(error)),
        [],
        `${applied} brings: ${JSON.stringify(now)}`,
      );
      if (applied === code && !stays)
        assert.ok(!codesOf(now).includes(code), `${code} is still there after: ${remedy}\n${JSON.stringify(now)}`);
    }
    // What only shows once the worse is mended.
    for (const { remedy } of stays ? [] : await machine.check())
      for (const step of remedy.split("\n")) await applyStep(machine, step, typed, person);
    const last = await machine.check();
    assert.deepEqual(codesOf(last), stays ? [code] : []);
    if (!stays) assert.equal((await machine.outlook("cryptroot")).will, "open", code);
    for (const [index, path] of [CRYPTTAB, FSTAB].entries()) keepsOwn(other[index] ?? [], machine.read(path));
    // The passphrase opens what it opened, and the command that found nothing finds nothing in a
    // second run.
    for (const name of NAMES) {
      const argv = ["open", "--test-passphrase", "--key-file", "-", device(name)];
      const input = code === "check/no-passphrase" ? readFileSync(RECOVERY, "utf8").trim() : PASSPHRASE;
      assert.equal(spawnSync("cryptsetup", argv, { input: name === "data" ? input : PASSPHRASE }).status, 0, name);
    }
  } finally {
    await machine.close();
    if (spoils) await spoil();
  }
}

async function applyStep(machine: CheckMachine, step: string, typed: string, person: Break["person"]): Promise<void> {
  const { invite } = step.includes("INVITE") ? await machine.server.json("machine", "invite", "again") : { invite: "" };
  if (step.includes("machine unlock NAME") || !machine.apply(step.replace("INVITE", String(invite)), typed)) {
    assert.ok(person !== undefined, `nobody does what is said: ${step}`);
    await person(machine, step);
  }
}

/** Every line that was there is there, with its own device and options. */
function keepsOwn(before: readonly string[], after: string): void {
  const lines = after.split("\n");
  for (const line of before.filter((text) => text.includes("x-own") || text.includes("noatime"))) {
    const [name, source] = line.split(" ");
    const found = lines.find((text) => text.startsWith(`${name} ${source} `));
    assert.ok(found !== undefined, line);
    for (const word of [OWN, "noatime"])
      if (line.includes(word)) assert.match(found, new RegExp(word.replace(/[.]/g, "\\.")), line);
  }
}

test("crypttab prints what is there, and no name or mount point of its own invention", { skip }, async () => {
  const machine = await makeMachine();
  try {
    const print = async (...args: string[]) => runCommand(crypttab, args, machine.system);
    const root = await print(device("root"));
    assert.deepEqual(root.lines, [
      `# ${device("root")} is opened in the initramfs: the root lies on it. No agent runs there.`,
      `# line 2 of ${CRYPTTAB}, as it is\ncryptroot ${device("root")} none luks,${OWN},initramfs`,
      `# line 1 of ${FSTAB}, as it is\n/dev/mapper/cryptroot / ext4 errors=remount-ro 0 1`,
      "# There is nothing to change in them.",
      "# What else it takes: nightlatch check",
    ]);
    assert.deepEqual([root.result["stage"], root.result["changes"]], ["initramfs", []]);

    inCrypttab(` none luks,${OWN},initramfs\n`, ` ${AGENT} luks,${OWN},_netdev\n`)(machine);
    inCrypttab(`${AGENT} luks,${OWN},_netdev,nofail`, `- luks,${OWN}`)(machine);
    inFstab("noatime,_netdev,nofail", "noatime")(machine);
    const changes = async (name: string) => (await print(device(name))).result["changes"];
    assert.deepEqual(await changes("root"), [`line 2 of ${CRYPTTAB}: cryptroot ${device("root")} none luks,${OWN}`]);
    assert.deepEqual(await changes("data"), [
      `line 3 of ${CRYPTTAB}: data ${device("data")} ${AGENT} luks,${OWN},_netdev,nofail`,
      `line 2 of ${FSTAB}: /dev/mapper/data /srv ext4 noatime,_netdev,nofail 0 2`,
    ]);

    // Beneath the running root, and in no file.
    machine.write(CRYPTTAB, "");
    const bare = await print(device("root"), "invented");
    assert.doesNotMatch(bare.lines.join("\n"), /invented|agent\.sock|\/mnt/);
    assert.match(String(bare.lines[1]), /^# It needs no line in/);
    const fresh = await print(device("data"), "backup");
    // The devices of this machine are files, and a file is named by its path.
    assert.match(String(fresh.lines[0]), /^# \/etc\/crypttab\nbackup \/\S+\/data \S+agent\.sock luks,_netdev,nofail\n/);
  } finally {
    await machine.close();
  }
});
