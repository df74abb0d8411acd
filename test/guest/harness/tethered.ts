/** A running machine with an open data volume and a tether, and the server that may lock it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bootImage } from "./image.ts";
import { type KeyServer, startKeyServer } from "./key-server.ts";
import { makeLuksVolume } from "./luks-volume.ts";
import { BOOT_DEADLINE_MS, type Machine, startMachine } from "./machine.ts";
import { builtPackage } from "./package.ts";
import { dataGuest, type Suite } from "./recipe.ts";

const DATA = { uuid: "0d7c9b1e-53a1-4d0e-9b59-7a1d1b6d8e01", passphrase: "correct horse data" };
const CONFIG = '[heartbeat]\ninterval = "5s"\n[tether]\nafter = "30s"\n';
const IS_SUSPENDED = "dmsetup info -c --noheadings -o suspended data";

export class Tethered implements AsyncDisposable {
  readonly machine: Machine;
  /** It knows the machine as `nas`. */
  readonly server: KeyServer;
  readonly #deadlineMs: number;
  readonly #folder: string;

  constructor(parts: { machine: Machine; server: KeyServer; deadlineMs: number; folder: string }) {
    this.machine = parts.machine;
    this.server = parts.server;
    this.#deadlineMs = parts.deadlineMs;
    this.#folder = parts.folder;
  }

  /** The table of the volume as the kernel shows it, its key included. */
  async table(): Promise<Buffer> {
    return Buffer.from(await this.machine.must("dmsetup table --showkeys data"));
  }

  async isSuspended(): Promise<boolean> {
    return (await this.machine.must(IS_SUSPENDED)).trim() === "Suspended";
  }

  /** Until the server was heard after all that was said before. */
  async hears(): Promise<void> {
    const heard = "stat -c %Y /run/nightlatch-heartbeat/heard.json";
    await this.machine.must(
      `since=$(date +%s); until [ "$(${heard} || echo 0)" -gt "$since" ]; do sleep 1; done`,
      this.#deadlineMs,
    );
  }

  /** Until the sender is told that the server takes it for well again. */
  async isWell(): Promise<void> {
    const last = "journalctl -u nightlatch-heartbeat -o cat | tail -n 1";
    await this.machine.must(`until ${last} | grep -q 'hears this machine'; do sleep 1; done`, this.#deadlineMs);
  }

  /** Until the volume stands still, and the tether has proved so often that its key is gone. */
  async stands(times: number): Promise<void> {
    await this.machine.must(`until [ "$(${IS_SUSPENDED})" = Suspended ]; do sleep 0.2; done`, this.#deadlineMs);
    const told = "journalctl -u nightlatch-tether -o cat | grep -c '^suspended data'";
    await this.machine.must(`until [ "$(${told})" = ${times} ]; do sleep 0.2; done`, this.#deadlineMs);
  }

  /** What a person does who has the volume go on. */
  async resumeByPassphrase(): Promise<void> {
    await this.machine.must("cryptsetup luksResume data", this.#deadlineMs, `${DATA.passphrase}\n`);
  }

  /**
   * From what the sender was told last to what the tether has proved last, in milliseconds by the
   * machine's journal.
   */
  async tookMs(): Promise<number> {
    const at = async (unit: string, text: string) =>
      Number(
        await this.machine.must(`journalctl -u ${unit} -o short-unix | grep '${text}' | tail -n 1 | cut -d' ' -f1`),
      );
    const told = await at("nightlatch-heartbeat", "has locked this machine");
    return Math.round(((await at("nightlatch-tether", "suspended data")) - told) * 1000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/**
 * Does all that a user does for a tether, with the kernel's own device mapper. The volume is
 * mounted on /srv.
 * @param extra for QEMU
 */
export async function startTethered(
  suite: Suite,
  {
    extra = [],
    deadlineMs = BOOT_DEADLINE_MS,
  }: { readonly extra?: readonly string[]; readonly deadlineMs?: number } = {},
): Promise<Tethered> {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-test-"));
  await using made = new AsyncDisposableStack();
  made.defer(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "data.img");
  await makeLuksVolume(file, "data", 32, { ...DATA, files: { name: "data\n" } });
  const server = made.use(await startKeyServer());
  const image = await bootImage(dataGuest(suite), { deb: await builtPackage() });
  const disks = [{ file, format: "raw", serial: "data" }] as const;
  const machine = made.use(await startMachine({ image, disks, forwards: [server.forward], extra }));
  await machine.login(deadlineMs);
  const bind = `nightlatch bind /dev/vdb latch ${await server.invite("nas")} --key-file -`;
  await machine.must(bind, deadlineMs, DATA.passphrase);
  await machine.must("nightlatch unlock /dev/vdb data && mount /dev/mapper/data /srv && cat /srv/name", deadlineMs);
  await machine.must("cat > /etc/nightlatch/agent.toml", deadlineMs, CONFIG);
  await machine.must("systemctl enable --now nightlatch-heartbeat nightlatch-tether", deadlineMs);
  const tethered = new Tethered({ machine, server, deadlineMs, folder });
  await tethered.hears();
  made.move();
  return tethered;
}
