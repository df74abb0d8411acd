/**
 * From the kernel's start to the login prompt of a machine with an encrypted root that is switched
 * on: with its passphrase typed at once, beside clevis + tangd, Mandos and `bind … latch --setup`,
 * each with an address by DHCP and with a fixed one where the peer has it. The machine is emulated
 * and counts its time in instructions (QEMU's -icount, a nanosecond each), so what else the host
 * does is not in the figures; firmware and boot loader, the same for all, are not either. The
 * passphrase's KDF is what cryptsetup makes of it on that machine. Mandos is asked at an address
 * (mandos=connect:), for there is no multicast in that network.
 * Needs the packages tang and mandos, and what the guests of the tests need.
 * usage: script/node bench/cold-boot.ts [--rounds N] [--only NAME]… [--json]
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { must } from "../script/program.ts";
import { NETWORK_DRIVER, PASSPHRASE } from "../test/guest/harness/encrypted-root.ts";
import { firmwareMachine } from "../test/guest/harness/firmware-machine.ts";
import { startKeyServer } from "../test/guest/harness/key-server.ts";
import { type Machine, type MachineOptions, startMachine } from "../test/guest/harness/machine.ts";
import { builtPackage } from "../test/guest/harness/package.ts";
import { typePassphrase } from "../test/guest/harness/prompt.ts";
import { type Forward, HOST_ADDRESS } from "../test/guest/harness/qemu.ts";
import { startTangd } from "../test/support/tangd.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    only: { type: "string", multiple: true },
    json: { type: "boolean", default: false },
  },
});

/** Counted in instructions a machine is several times slower, and its installs take long. */
const DEADLINE_MS = 3_600_000;
const TANG_PORT = 7500;
const MANDOS_PORT = 7600;
const FIXED = "10.0.2.77";

/** Only the root is compared. An initramfs is packed fast, since each contender makes its own. */
const ROOT_ALONE = `
set -e
echo COMPRESSLEVEL=1 >>/etc/initramfs-tools/conf.d/guest
sed -i '/^cryptswap/d; /^data/d' /etc/crypttab
sed -i '/cryptswap/d; /mapper.data/d' /etc/fstab
update-initramfs -u -k all`;
/** cryptsetup measures what the KDF costs on the machine that it is for. */
const AS_DEBIAN = `
key=$(cat)
cryptsetup luksConvertKey -q --pbkdf argon2id --key-slot 0 --key-file <(printf %s "$key") /dev/vda`;
/** One that RFC 7919 gives. */
const GROUP_OF_MANDOS = `
set -e
install -d -m 700 /etc/keys/mandos
openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe3072 -out /etc/keys/mandos/dhparams.pem`;
const addToCommandLine = (words: string): string =>
  `sed -i 's|^GRUB_CMDLINE_LINUX="|&${words} |' /etc/default/grub && update-grub`;
const useNetwork = (line: string): string =>
  `sed -i -e 's|^Address=.*|${line}|' -e /^Gateway=/d /etc/systemd/network/10-guest.network
   networkctl reload && networkctl reconfigure $(basename /sys/class/net/en*)
   until ip -o -4 addr show scope global | grep -q inet; do sleep 1; done`;
/** Of the kernel's ip=, complete, as Mandos asks for it. */
const fixedAddress = async (machine: Machine): Promise<string> =>
  `${FIXED}::10.0.2.2:255.255.255.0:guest:${(await machine.must("basename /sys/class/net/en*")).trim()}:off`;

interface Contender {
  readonly name: string;
  /** Makes it so on the running machine; null where its passphrase is typed. */
  readonly setUp: ((machine: Machine) => Promise<void>) | null;
}

interface Peers {
  readonly mandos: Mandos;
  readonly invite: () => Promise<string>;
}

function contenders({ mandos, invite }: Peers): readonly Contender[] {
  const all: Contender[] = [{ name: "passphrase typed at once", setUp: null }];
  for (const isFixed of [false, true]) {
    const address = async (machine: Machine) => {
      await machine.must(useNetwork(isFixed ? `Address=${FIXED}/24` : "DHCP=ipv4"), DEADLINE_MS);
      return isFixed ? await fixedAddress(machine) : "dhcp";
    };
    const name = (peer: string) => `${peer}, ${isFixed ? "fixed address" : "DHCP"}`;
    const setUpClevis = async (machine: Machine) => {
      const ip = await address(machine);
      await machine.must(`${NETWORK_DRIVER} && apt-get install clevis-initramfs`, DEADLINE_MS);
      const options = JSON.stringify({ url: `http://${HOST_ADDRESS}:${TANG_PORT}` });
      await machine.must(`clevis luks bind -y -k - -d /dev/vda tang '${options}'`, DEADLINE_MS, PASSPHRASE);
      // Of ip=dhcp the clevis of Debian 12 makes the name of a card; it asks by DHCP without.
      if (isFixed) await machine.must(addToCommandLine(`ip=${ip}`), DEADLINE_MS);
      await machine.must("update-initramfs -u -k all", DEADLINE_MS);
    };
    const setUpMandos = async (machine: Machine) => {
      const ip = await address(machine);
      // Its install makes a Diffie-Hellman group where there is none, which takes an hour here.
      await machine.must(GROUP_OF_MANDOS);
      await machine.must(`${NETWORK_DRIVER} && apt-get install mandos-client`, DEADLINE_MS);
      const section = await machine.must("mandos-keygen --password --passfile /dev/stdin", DEADLINE_MS, PASSPHRASE);
      await mandos.know(section);
      await machine.must(addToCommandLine(`ip=${ip} mandos=connect:${HOST_ADDRESS}:${MANDOS_PORT}`), DEADLINE_MS);
      await machine.must("update-initramfs -u -k all", DEADLINE_MS);
    };
    const setUpOurs = async (machine: Machine) => {
      await address(machine);
      const command = `nightlatch bind /dev/vda latch ${await invite()} --setup --key-file -`;
      await machine.must(command, DEADLINE_MS, PASSPHRASE);
    };
    all.push({ name: name("clevis + tangd"), setUp: setUpClevis });
    all.push({ name: name("Mandos"), setUp: setUpMandos });
    all.push({ name: name("nightlatch"), setUp: setUpOurs });
  }
  const { only } = values;
  return all.filter(({ name }) => only === undefined || only.some((start) => name.startsWith(start)));
}

/**
 * A real Mandos server without Zeroconf or its own D-Bus service, which knows one client at a time.
 * It will not start without a system bus all the same, so it has one of its own.
 */
class Mandos implements AsyncDisposable {
  readonly port: number;
  readonly #folder: string;
  readonly #bus: string;
  readonly #bussing: ChildProcess;
  #server: ChildProcess | null = null;

  constructor(folder: string, port: number) {
    this.#folder = folder;
    this.port = port;
    mkdirSync(join(folder, "state"), { recursive: true });
    // It changes to a user of its own.
    spawnSync("chmod", ["-R", "a+rwX", folder]);
    this.#bus = `unix:path=${join(folder, "bus")}`;
    const bus = ["dbus-daemon", "--system", "--nofork", "--nopidfile", "--nosyslog", `--address=${this.#bus}`];
    this.#bussing = spawn("setpriv", ["--pdeathsig", "KILL", ...bus], { stdio: "ignore" });
  }

  /** @param section what `mandos-keygen --password` prints */
  async know(section: string): Promise<void> {
    await this.#end();
    // A client that it cannot ping is disabled by and by; nobody answers a ping in that network.
    const defaults = "[DEFAULT]\ntimeout = P1D\nchecker = true\n";
    writeFileSync(join(this.#folder, "clients.conf"), `${defaults}${section}`, { mode: 0o644 });
    writeFileSync(join(this.#folder, "mandos.conf"), "[DEFAULT]\n", { mode: 0o644 });
    const quiet = ["--foreground", "--no-zeroconf", "--no-dbus", "--no-ipv6", "--no-restore"];
    const folders = ["--configdir", this.#folder, "--statedir", join(this.#folder, "state")];
    const argv = ["--pdeathsig", "KILL", "mandos", ...quiet, ...folders, "--port", `${this.port}`];
    const env = { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: this.#bus };
    const server = spawn("setpriv", argv, { stdio: ["ignore", "inherit", "inherit"], env });
    this.#server = server;
    // One that does not run would be waited for at the boot.
    const isUp = () => connects(this.port);
    while (!(await isUp())) {
      if (server.exitCode !== null) throw new Error(`mandos ended with ${server.exitCode}`);
      await new Promise((wake) => setTimeout(wake, 100));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    this.#bussing.kill();
  }

  async #end(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null || server.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, "exit");
    server.kill();
    await ended;
  }
}

function connects(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  return new Promise<boolean>((resolve) => {
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
  }).finally(() => socket.destroy());
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Seconds from the kernel's start to the login prompt, by the machine's own clock. */
async function boot(options: MachineOptions, isTyped: boolean): Promise<number> {
  await using machine = await startMachine(options);
  if (isTyped) await typePassphrase(machine.console);
  await machine.login(DEADLINE_MS);
  const shown = await machine.must("systemctl show --value -p ActiveEnterTimestampMonotonic serial-getty@ttyS0");
  await machine.powerOff(DEADLINE_MS);
  return Number(shown) / 1e6;
}

/** The machine's disks, and its options on a copy of them in `folder`. */
async function copyOf(base: string | null, folder: string): Promise<MachineOptions> {
  const shelf = ["clevis-initramfs", "mandos-client"];
  const kind = { suite: "bookworm", generator: "initramfs-tools", compression: "zstd", shelf } as const;
  const made = await firmwareMachine({ ...kind, loader: "grub-bios", deb: await builtPackage() }, folder);
  if (base !== null) await must(["cp", "-a", "--sparse=always", `${base}/.`, folder]);
  return { ...made, overlay: join(folder, "root.qcow2") };
}

/** The machine that counts its time; it is set up by one that does not, which is faster. */
const counting = (options: MachineOptions): MachineOptions => ({
  ...options,
  extra: [...(options.extra ?? []), "-icount", "shift=0,sleep=on"],
});

async function change(options: MachineOptions, how: (machine: Machine) => Promise<unknown>): Promise<void> {
  await using machine = await startMachine(options);
  await typePassphrase(machine.console);
  await machine.login(DEADLINE_MS);
  await how(machine);
  await machine.powerOff(DEADLINE_MS);
}

/** Every contender's machine before it is set up. */
async function makeBase(folder: string): Promise<void> {
  const options = await copyOf(null, folder);
  await change(options, (machine) => machine.must(ROOT_ALONE, DEADLINE_MS));
  await change(counting(options), (machine) => machine.must(AS_DEBIAN, DEADLINE_MS, PASSPHRASE));
}

async function measure(contender: Contender, base: string, forwards: readonly Forward[]): Promise<number[]> {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-cold-boot-"));
  try {
    const options = { ...(await copyOf(base, folder)), forwards };
    if (contender.setUp !== null) await change(options, contender.setUp);
    const seconds: number[] = [];
    for (let round = 0; round < Number(values.rounds); round++) {
      seconds.push(await boot(counting(options), contender.setUp === null));
      console.error(`${contender.name}: ${seconds.at(-1)?.toFixed(1)} s`);
    }
    return seconds;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const scratch = mkdtempSync(join(tmpdir(), "nightlatch-mandos-"));
const base = mkdtempSync(join(tmpdir(), "nightlatch-cold-boot-"));
try {
  await makeBase(base);
  await using tang = await startTangd();
  await using server = await startKeyServer();
  await using mandos = new Mandos(scratch, await freePort());
  let machines = 0;
  const peers: Peers = { mandos, invite: () => server.invite(`machine${++machines}`) };
  const forward = (guestPort: number, hostPort: number) => ({ guestAddress: HOST_ADDRESS, guestPort, hostPort });
  const forwards = [
    server.forward,
    forward(TANG_PORT, Number(new URL(tang.url).port)),
    forward(MANDOS_PORT, mandos.port),
  ];
  const rows: { name: string; seconds: readonly number[] }[] = [];
  for (const contender of contenders(peers))
    try {
      rows.push({ name: contender.name, seconds: await measure(contender, base, forwards) });
    } catch (error) {
      // The others took long, and stand by themselves.
      console.error(`${contender.name}: ${error instanceof Error ? error.message : String(error)}`);
      process.exitCode = 1;
    }
  if (values.json) console.log(JSON.stringify(rows));
  else
    for (const { name, seconds } of rows)
      console.log(`${name.padEnd(32)}${seconds.map((one) => one.toFixed(1).padStart(7)).join("")}`);
} finally {
  for (const folder of [scratch, base]) rmSync(folder, { recursive: true, force: true });
}
