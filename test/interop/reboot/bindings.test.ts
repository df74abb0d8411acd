import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command } from "../../../src/cli/commands/reboot/reboot.ts";
import { isError, NightlatchError } from "../../../src/core/errors.ts";
import { cleanUp } from "../../../src/reboot/clean-up.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { headerDigest } from "../../support/luks-change.ts";
import {
  device,
  folder,
  initramfs,
  makeDevices,
  NAMES,
  noCryptsetup,
  PASSPHRASE,
  plugCard,
  slots,
  type World,
  type WorldOptions,
  world,
} from "../../support/reboot/world.ts";
import { type Served, serve } from "../../support/serve.ts";
import { noTangd, startTangd, type Tangd } from "../../support/tangd.ts";
import { runCommand, type Spoken } from "../../support/terminal.ts";

const skip = noCryptsetup !== false ? noCryptsetup : noTangd;
const AGENT = "/run/nightlatch/agent.sock";
const state = join(folder, "state");
const swapKey = join(folder, "swap.key");

let server: Served;
let tangd: Tangd;
before(async () => {
  if (skip !== false) return;
  await makeDevices();
  [server, tangd] = [await serve(), await startTangd()];
  const keyFile = join(folder, "passphrase");
  writeFileSync(keyFile, PASSPHRASE);
  writeFileSync(swapKey, PASSPHRASE);
  writeFileSync(join(folder, "print-key"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
  const made = spawnSync("clevis", [
    ...["luks", "bind", "-y", "-k", keyFile, "-d", device("root"), "tang"],
    JSON.stringify({ url: tangd.url }),
  ]);
  assert.equal(made.status, 0, String(made.stderr));
  const { invite } = await server.json("machine", "invite", "nas");
  const args = [device("data"), "latch", String(invite), "--key-file", keyFile, "--state", state];
  await runCommand(bind, args, nodeSystem);
});
const sockets: Server[] = [];
after(async () => {
  for (const socket of sockets) socket.close();
  await server?.[Symbol.asyncDispose]();
  await tangd?.[Symbol.asyncDispose]();
});

/** What clevis-initramfs 19's hook copies, beside cryptsetup. */
const CLEVIS = [
  ...[
    "decrypt-tang",
    "decrypt-sss",
    "decrypt-null",
    "decrypt",
    "luks-common-functions",
    "luks-list",
    "luks-unlock",
  ].map((name) => `usr/bin/clevis-${name}`),
  ...["clevis", "luksmeta", "jose", "curl", "awk", "bash"].map((name) => `usr/bin/${name}`),
  ...["scripts/local-top/clevis", "scripts/local-bottom/clevis"],
  "usr/lib/modules/6.1.0/kernel/drivers/net/virtio_net.ko",
];
const opened = () =>
  `cryptroot ${device("root")} none luks\ncryptswap ${device("swap")} /FIXME-initramfs-rootmnt${swapKey} luks,swap\n`;
const withClevis = () => initramfs(opened(), ...CLEVIS);
const line = (options = "luks,_netdev,nofail", key = AGENT) => `data ${device("data")} ${key} ${options}\n`;

interface Machine {
  readonly enabled?: string;
  readonly bootIsEncrypted?: boolean;
  readonly jobs?: string;
}

/** A machine that systemd runs, and whose agent listens. */
async function machine(
  options: WorldOptions = {},
  { enabled = "enabled", bootIsEncrypted = false, jobs = "" }: Machine = {},
) {
  const reboots: (readonly string[])[] = [];
  const programs = (argv: readonly string[]): string | undefined => {
    const asks = (...words: readonly string[]) => words.every((word) => argv.includes(word));
    if (argv[0] === "findmnt" && asks("SOURCE") && !asks("/")) return bootIsEncrypted ? undefined : "/dev/vda1\n";
    if (argv[0] === "lsblk" && asks("/dev/vda1"))
      return JSON.stringify({ blockdevices: [{ name: "vda1", fstype: "ext4" }] });
    if (argv[0] === "systemd-analyze") return "";
    if (argv[0] === "modinfo") return "/lib/modules/6.1.0/kernel/drivers/net/virtio_net.ko\n";
    if (argv[0] !== "systemctl") return undefined;
    if (asks("show", "nightlatch-agent.socket"))
      return `LoadState=loaded\nUnitFileState=${enabled}\nActiveState=active\n`;
    if (asks("show", "nightlatch-clean-up.timer")) return "enabled\n\nenabled\n\nenabled\n";
    if (asks("list-jobs")) return jobs;
    if (asks("is-active")) return undefined;
    if (!asks("show")) reboots.push(argv);
    return "";
  };
  const files = {
    "/sys/class/net/eth0/operstate": "up\n",
    "/sys/class/net/lo/operstate": "unknown\n",
    ...options.files,
  };
  const made = world({ crypttab: line(), initrd: withClevis(), ...options, files, programs });
  mkdirSync(made.at("/run/systemd/system"), { recursive: true });
  plugCard(made, "eth0", "virtio_net");
  mkdirSync(dirname(made.at(AGENT)), { recursive: true });
  const socket = createServer();
  sockets.push(socket);
  await new Promise<void>((done) => socket.listen(made.at(AGENT), done));
  chmodSync(made.at(AGENT), 0o600);
  const run = (...args: readonly string[]): Promise<Spoken> =>
    runCommand(command, [...args, "--state", state], made.system);
  return { ...made, run, reboots };
}

const NO_KEXEC = { "/proc/sys/kernel/kexec_load_disabled": "1\n" };
const digests = () => Promise.all(NAMES.map((name) => headerDigest(device(name))));

async function refuses(run: Promise<unknown>, code: string, message: RegExp, remedy: RegExp = /./): Promise<void> {
  await assert.rejects(run, (error) => {
    assert.ok(isError(error), String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.match(String(error.remedy), remedy);
    return true;
  });
}

const wrote = ({ changes }: World) => changes.filter(([program]) => program !== "remove");

test("every volume is tried, and then it is an ordinary reboot with nothing staged", { skip }, async () => {
  const before = await digests();
  const one = await machine();
  const dry = await one.run("--via", "bindings", "--dry-run");
  assert.deepEqual(dry.lines, [
    "  next boot   Debian (grub)",
    `  opens       ${device("root")} → cryptroot   by itself: clevis in the initramfs asks tang ${tangd.url}, keyslot 1, tried from the running system`,
    `  opens       ${device("swap")} → cryptswap   by itself: key file ${swapKey}`,
    dry.lines[3],
    "  via         bindings, an ordinary reboot, initramfs of initramfs-tools, 0.0 MiB, nothing staged",
    "That was a dry run: nothing is staged.",
  ]);
  assert.match(
    String(dry.lines[3]),
    /data {3}by itself: the agent asks latch http:\S+\/latch\/[\w-]{22}, keyslot 1, tried$/,
  );
  assert.deepEqual([one.changes, one.reboots], [[], []]);
  assert.equal(dry.result["via"], "bindings");
  assert.deepEqual(
    (dry.result["volumes"] as { name: string; proved: boolean; stage: string }[]).map(({ name, proved, stage }) => [
      name,
      proved,
      stage,
    ]),
    [
      ["cryptroot", true, "initramfs"],
      ["cryptswap", true, "initramfs"],
      ["data", true, "system"],
    ],
  );
  await one.run("--via", "bindings");
  assert.deepEqual(one.reboots, [["systemctl", "reboot"]]);
  assert.deepEqual(wrote(one), []);
  assert.deepEqual(await digests(), before);
});

test("under lease it opens a window for the proof, ends it, and opens one for the boot", { skip }, async () => {
  await server.json("machine", "policy", "nas", "lease");
  const one = await machine({ crypttab: line("luks,_netdev") });
  const lease = async () => {
    const { machine: shown } = await server.json("machine", "show", "nas");
    return (shown as { lease: { number: number; graceMs: number } | null }).lease;
  };
  const dry = await one.run("--via", "bindings", "--dry-run");
  assert.match(String(dry.lines[3]), /data {3}by itself: the agent asks latch http:\S+, keyslot 1, tried$/);
  assert.equal(await lease(), null);
  await one.run("--via", "bindings");
  assert.deepEqual(one.reboots, [["systemctl", "reboot"]]);
  // The first was the dry run's, the second this run's proof, the third is for the boot.
  assert.deepEqual(await lease(), { ...(await lease()), number: 3, graceMs: 60_000 });
  const { latches } = await server.json("machine", "show", "nas");
  assert.equal((latches as { releasedInLease: number }[])[0]?.releasedInLease, 2);

  // A shutdown that does not begin leaves no window open. No header change has one meanwhile.
  let isLocked = false;
  const stopped: World["system"] = {
    ...one.system,
    run: async (request) => {
      if (request.argv.join(" ") !== "systemctl reboot") return one.system.run(request);
      isLocked = await nodeSystem.lock(join(state, "lock"), 0).then(
        (lock) => lock[Symbol.asyncDispose]().then(() => false),
        (error: unknown) => isError(error, "system/busy"),
      );
      throw new Error("the shutdown does not begin");
    },
  };
  await assert.rejects(runCommand(command, ["--via", "bindings", "--state", state], stopped), /does not begin/);
  assert.ok(isLocked);
  assert.equal(await lease(), null);

  // The announcement does not get through, after a proof that did.
  let announced = 0;
  const cut: World["system"] = {
    ...one.system,
    request: async (request) => {
      if (request.url.endsWith("/lease") && request.method === "POST" && ++announced === 3)
        throw new NightlatchError("net/unreachable", "injected");
      return one.system.request(request);
    },
  };
  const before = one.reboots.length;
  await refuses(
    runCommand(command, ["--via", "bindings", "--state", state], cut),
    "reboot/no-lease",
    /^the next boot could not be announced: injected \[net\/unreachable\]$/,
    /systemctl reboot/,
  );
  assert.equal(one.reboots.length, before);
  assert.equal(await lease(), null);

  await server.json("machine", "lock", "nas");
  await refuses(one.run("--via", "bindings"), "reboot/not-proved", /data/);
  await server.json("machine", "unlock", "nas");
  await server.json("machine", "policy", "nas", "always");
});

test("one volume that is not proved, or a boot that begins with a prompt, and nothing happens", { skip }, async () => {
  const refused: [WorldOptions, Machine, RegExp, RegExp][] = [
    [
      { initrd: initramfs(opened()) },
      {},
      /^not proved .*: cryptroot \(\S+\): the initramfs holds no scripts\/local-top\/clevis, /,
      /^Install clevis-initramfs/,
    ],
    [
      { initrd: initramfs(opened(), ...CLEVIS.filter((name) => name !== "usr/bin/curl")) },
      {},
      /cryptroot .* holds no usr\/bin\/curl$/,
      /./,
    ],
    [
      {
        initrd: initramfs(`cryptroot ${device("root")} none luks\ncryptswap ${device("swap")} none luks\n`, ...CLEVIS),
      },
      {},
      /: cryptswap \(\S+\): it has no binding/,
      /nightlatch bind/,
    ],
    [{ crypttab: line("luks") }, {}, /: data \(\S+\): its key comes over the network, and without _netdev/, /_netdev/],
    [
      { crypttab: line("luks,_netdev", "none") },
      {},
      /: data .* nobody asks its bindings/,
      /agent\.sock luks,_netdev,nofail$/,
    ],
    [
      { crypttab: line("luks,_netdev") },
      { enabled: "disabled" },
      /nightlatch-agent\.socket is not enabled/,
      /^systemctl enable/,
    ],
    [
      {
        crypttab: line("luks,_netdev"),
        files: { "/etc/nightlatch/agent.toml": `[volume.data]\nexec = ["${join(folder, "print-key")}"]\n` },
      },
      {},
      /the agent runs \S+\/print-key for its key, which was not tried/,
      /Bind/,
    ],
    [{}, { bootIsEncrypted: true }, /^\/boot is encrypted: GRUB asks/, /--via kexec/],
  ];
  for (const [options, facts, message, remedy] of refused) {
    const one = await machine(options, facts);
    await refuses(one.run("--via", "bindings"), "reboot/not-proved", message, remedy);
    assert.deepEqual([one.changes, one.reboots], [[], []], String(message));
  }
  const one = await machine();
  for (const option of ["--entry", "--key-file"]) {
    await refuses(one.run("--via", "bindings", option, "x"), "usage/wrong", new RegExp(option));
  }
});

test("what the server refuses is not proved; a volume that may fail holds nothing up", { skip }, async () => {
  await server.json("machine", "lock", "nas");
  try {
    const needed = await machine({ crypttab: line("luks,_netdev") });
    for (const via of ["bindings", "kexec"]) {
      await refuses(
        needed.run("--via", via, "--dry-run"),
        "reboot/not-proved",
        /: data \(\S+\): latch .* \[pin\/locked\]/,
      );
    }
    const spared = await machine({ crypttab: line() });
    const { lines } = await spared.run("--via", "bindings", "--dry-run");
    assert.match(String(lines[3]), /→ data {3}latch .* \[pin\/locked\]; it may fail$/);
  } finally {
    await server.json("machine", "unlock", "nas");
  }
});

test("stock clevis answers the prompt of a volume that crypttab names no key for", { skip }, async () => {
  const path = "/etc/systemd/system/cryptsetup.target.wants/clevis-luks-askpass.path";
  const one = await machine({ crypttab: line("luks,_netdev", "none"), files: { [path]: "" } });
  const { lines } = await one.run("--via", "bindings", "--dry-run");
  assert.match(String(lines[3]), /→ data {3}by itself: clevis asks latch \S+, keyslot 1, tried$/);
  for (const [options, message] of [
    ["luks", /without _netdev/],
    ["luks,_netdev,headless=1", /headless= is set/],
  ] as const) {
    const bad = await machine({ crypttab: line(options, "none"), files: { [path]: "" } });
    await refuses(bad.run("--via", "bindings"), "reboot/not-proved", message);
  }
});

test("auto: kexec, with no key for what the agent opens; else bindings; else it says why for each", {
  skip,
}, async () => {
  const best = await machine();
  const byKexec = await best.run("--dry-run");
  assert.equal(byKexec.result["via"], "kexec");
  const opens = byKexec.result["volumes"] as { name: string; opens: string }[];
  assert.equal(opens[0]?.opens, "disposable key");
  assert.match(String(opens[2]?.opens), /^the agent asks latch .* tried$/);
  assert.equal(best.loaded.length, 1);
  const before = await digests();

  const next = await machine({ files: NO_KEXEC });
  const byBindings = await next.run();
  assert.equal(byBindings.result["via"], "bindings");
  assert.deepEqual(
    (byBindings.result["passedOver"] as { code: string }[]).map(({ code }) => code),
    ["kexec/unavailable"],
  );
  assert.match(String(byBindings.lines.at(-1)), /not otherwise: kexec cannot be used: kexec is switched off/);
  assert.deepEqual(next.reboots, [["systemctl", "reboot"]]);

  const none = await machine({ files: NO_KEXEC, initrd: initramfs(opened()) });
  await refuses(
    none.run(),
    "reboot/no-way",
    /\n {2}kexec {4}kexec cannot be used.*\n.*\n {2}bindings .*holds no scripts/,
    /--via soft/,
  );
  // What only a kexec can do is told as a kexec's.
  await refuses(none.run("--cmdline", "quiet"), "kexec/unavailable", /switched off/, /--via bindings/);
  assert.deepEqual([none.changes, none.reboots], [[], []]);
  assert.deepEqual(await digests(), before);
});

test("at a shutdown the journal says whether an ordinary reboot comes back by itself", { skip }, async () => {
  const jobs = "1 reboot.target start waiting\n";
  const comes = await machine({ files: NO_KEXEC }, { jobs });
  const { lines, hints } = await comes.run("--at-shutdown");
  assert.match(String(hints[0]), /^An ordinary reboot: kexec cannot be used/);
  assert.match(
    String(lines[0]),
    /^It opens its volumes by itself all the same: cryptroot: clevis in the initramfs asks tang /,
  );
  const asks = await machine({ files: NO_KEXEC, initrd: initramfs(opened()) }, { jobs });
  const said = await asks.run("--at-shutdown");
  assert.match(String(said.hints[1]), /^It will ask for a passphrase: not proved .* cryptroot /);
  assert.deepEqual([asks.reboots, asks.changes], [[], []]);
});

test("at a shutdown the boot is announced too, and the journal says where that fails", { skip }, async () => {
  await server.json("machine", "policy", "nas", "lease");
  const jobs = "1 reboot.target start waiting\n";
  const one = await machine({ files: NO_KEXEC, crypttab: line("luks,_netdev") }, { jobs });
  const { hints } = await one.run("--at-shutdown");
  assert.equal(hints.length, 1, hints.join("\n"));
  const { machine: shown } = await server.json("machine", "show", "nas");
  assert.equal((shown as { lease: { graceMs: number } | null }).lease?.graceMs, 60_000);
  let announced = 0;
  const cut: World["system"] = {
    ...one.system,
    request: async (request) => {
      if (request.url.endsWith("/lease") && request.method === "POST" && ++announced === 3)
        throw new NightlatchError("net/unreachable", "injected");
      return one.system.request(request);
    },
  };
  const said = await runCommand(command, ["--at-shutdown", "--state", state], cut);
  assert.match(String(said.hints[1]), /^It will ask for a passphrase all the same: .*injected.* \[reboot\/no-lease\]$/);
  await server.json("machine", "policy", "nas", "always");
});

test("a kexec is announced where it leaves a volume to a latch, and ended where it does not start", {
  skip,
}, async () => {
  await server.json("machine", "policy", "nas", "lease");
  const window = async () => {
    const { machine: shown } = await server.json("machine", "show", "nas");
    return (shown as { lease: { graceMs: number } | null }).lease;
  };
  const before = await slots();
  const staged = async () => [await readFile(one.at("/sys/kernel/kexec_loaded"), "utf8"), await slots()];
  const one = await machine({ crypttab: line("luks,_netdev") });
  const run = (changed: Partial<World["system"]>) =>
    runCommand(command, ["--via", "kexec", "--state", state], { ...one.system, ...changed });

  // A shutdown that does not begin: at that moment the window was open.
  let wasOpen: unknown = null;
  const stops: World["system"]["run"] = async (request) => {
    if (request.argv.join(" ") !== "systemctl kexec") return one.system.run(request);
    wasOpen = await window();
    throw new NightlatchError("reboot/not-now", "the shutdown does not begin");
  };
  await assert.rejects(run({ run: stops }), /does not begin/);
  assert.equal((wasOpen as { graceMs: number } | null)?.graceMs, 60_000);
  assert.equal(await window(), null);
  assert.deepEqual(await staged(), ["0\n", before]);

  let announced = 0;
  const cut: World["system"]["request"] = async (request) => {
    // The proof opened a window and ended it.
    if (request.url.endsWith("/lease") && request.method === "POST" && ++announced === 3)
      throw new NightlatchError("net/unreachable", "injected");
    return one.system.request(request);
  };
  await refuses(run({ request: cut }), "reboot/no-lease", /could not be announced: injected/, /systemctl reboot/);
  assert.equal(await window(), null);
  assert.deepEqual(await staged(), ["0\n", before]);
  assert.ok(!one.reboots.some((argv) => argv.includes("kexec")));

  await one.run("--via", "kexec");
  assert.deepEqual(one.reboots.at(-1), ["systemctl", "kexec"]);
  assert.equal((await window())?.graceMs, 60_000);
  assert.deepEqual((await staged())[0], "1\n");
  await cleanUp(one.system, state, true);
  assert.deepEqual(await staged(), ["0\n", before]);
  await server.json("machine", "policy", "nas", "always");
});

test("every reboot of the system may be staged without a remembered key where the bindings give one", {
  skip,
}, async () => {
  const bound = await machine();
  await bound.run("--make-default");
  assert.deepEqual(bound.reboots.at(-1), ["systemctl", "enable", "--now", "nightlatch-stage.service"]);
  const unbound = `cryptroot ${device("root")} none luks\ncryptswap ${device("swap")} none luks\n`;
  const open = await machine({ initrd: initramfs(unbound, ...CLEVIS) });
  await refuses(
    open.run("--make-default"),
    "reboot/blocked",
    /no key is remembered, .* cryptswap .* opened by none/,
    /--remember/,
  );
  assert.deepEqual(wrote(open), []);
});
