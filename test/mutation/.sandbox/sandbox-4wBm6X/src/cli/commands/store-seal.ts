// @ts-nocheck
import { isError, NightlatchError } from "../../core/errors.ts";
import { SERVER_STORE } from "../../core/places.ts";
import { trimEndOf } from "../../core/text.ts";
import { readRecord } from "../../server/store/folder/record.ts";
import {
  CREDENTIAL_NAME,
  MASTER_NAME,
  NEXT_MASTER_NAME,
  readMasterKey,
  readPlainMasterKey,
  removePlainMasterKey,
  SEALED_MASTER_PATH,
} from "../../server/store/keys/master-file.ts";
import type { System } from "../../system/port.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../command.ts";
import { ADMIN_OPTION, askServer } from "../operator-client.ts";

const OPTIONS = {
  data: { value: "DIR", help: "folder of the store and its master key", default: SERVER_STORE },
  "remove-plain": { help: "the second step: remove the master key that is not sealed" },
  yes: { help: "do not ask" },
  admin: ADMIN_OPTION,
} as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "store seal",
  summary: "seal the key server's master key to this machine",
  options: OPTIONS,
  details: `Whoever takes the key server's disk alone then lacks the master key. It is sealed by systemd-creds(1), to this machine's
TPM where it has one, else to its host key, which only helps where that is on another disk than the store. systemd unseals it for
the server's unit at each start. Both steps can be repeated:

  nightlatch store seal
  systemctl restart nightlatch-server       it says that it uses the sealed one
  nightlatch store seal --remove-plain

Keep a copy of master.key in a safe place first: without it, a broken board takes every latch with it.`,
  run,
});

async function run(input: Input): Promise<ExitStatus> {
  const folder = trimEndOf(input.options.data, "/");
  await (input.options["remove-plain"] ? removePlain(input, folder) : seal(input, folder));
  return 0;
}

async function seal({ system, terminal }: Input, folder: string): Promise<void> {
  using plain = await readMasterKey(system, `${folder}/${MASTER_NAME}`);
  if ((await system.stat(`${folder}/${NEXT_MASTER_NAME}`)) !== null) {
    throw notSealed(
      "this master key is being replaced",
      "Start the server, which goes on with that, and repeat the command.",
    );
  }
  const earlier = await unsealed(system);
  if (earlier !== null && !earlier.equals(plain.reveal())) {
    throw notSealed(
      `${SEALED_MASTER_PATH} holds another master key`,
      "It may be the only one of another store: keep a copy of it elsewhere and remove it, then repeat the command.",
    );
  }
  if (earlier === null) await write(system, plain.reveal());
  earlier?.fill(0);
  const sealedBy = (await hasTpm(system)) ? "tpm" : "host-key";
  terminal.line(`Sealed, and proved to open: ${SEALED_MASTER_PATH}`);
  if (sealedBy === "host-key") {
    terminal.hint(
      "This machine has no TPM that systemd can use: the key is sealed to /var/lib/systemd/credential.secret alone. Whoever takes the " +
        "disk that this lies on can unseal it.",
    );
  }
  terminal.line(`${folder}/${MASTER_NAME} still lies beside the store. Next:`);
  terminal.line("  systemctl restart nightlatch-server");
  terminal.line("  nightlatch store seal --remove-plain");
  terminal.result({ ok: true, sealed: SEALED_MASTER_PATH, sealedBy, removed: false });
}

async function write(system: System, key: Buffer): Promise<void> {
  const blob = await creds(system, ["encrypt", `--name=${CREDENTIAL_NAME}`, "--with-key=auto", "--tpm2-pcrs="], key);
  const again = await unseal(system, blob);
  const isRight = again.equals(key);
  again.fill(0);
  if (!isRight)
    throw notSealed(
      "what systemd-creds sealed does not open to the same key",
      "See journalctl -b and systemd-creds(1).",
    );
  await system.makeDirectory(SEALED_MASTER_PATH.slice(0, SEALED_MASTER_PATH.lastIndexOf("/")), 0o700);
  await system.writeFile(SEALED_MASTER_PATH, blob, 0o600);
}

/**
 * Asks the running server, which alone can tell that systemd unseals the key for the unit: what
 * opens here and now need not open there.
 */
async function removePlain({ system, terminal, options }: Input, folder: string): Promise<void> {
  const status = await askServer(system, options.admin, "GET", ["status"]);
  const record = (await readRecord(system, folder))?.record;
  if (status["master"] !== "credential" || record === undefined || status["store"] !== record.store) {
    throw notSealed(
      "the server that runs does not use the sealed master key of this store",
      "Seal it and restart the server, which says so: nightlatch store seal, systemctl restart nightlatch-server",
    );
  }
  const path = `${folder}/${MASTER_NAME}`;
  using plain = await readPlainMasterKey(system, folder);
  if (plain !== null) {
    const sealed = await unsealed(system);
    const isSame = sealed?.equals(plain.reveal()) === true;
    sealed?.fill(0);
    if (!isSame)
      throw notSealed(`${path} is not the master key that was sealed`, "Look what it is, and remove it by hand.");
    const question = `Remove ${path}? Without a copy elsewhere, this machine's hardware alone opens the store.`;
    if (!options.yes && !(await terminal.confirm(question))) {
      throw new NightlatchError("usage/cancelled", "cancelled", { meaning: "Nothing was removed." });
    }
  }
  await removePlainMasterKey(system, folder);
  terminal.line(`${path} is gone: the server's disk alone opens nothing.`);
  terminal.result({ ok: true, sealed: SEALED_MASTER_PATH, removed: true });
}

/** Null where nothing is sealed. */
async function unsealed(system: System): Promise<Buffer | null> {
  try {
    return await unseal(system, await system.readFile(SEALED_MASTER_PATH, MAX_BLOB_BYTES));
  } catch (error) {
    if (isError(error, "file/missing")) return null;
    throw error;
  }
}

function unseal(system: System, blob: Uint8Array): Promise<Buffer> {
  return creds(system, ["decrypt", `--name=${CREDENTIAL_NAME}`], blob);
}

const MAX_BLOB_BYTES = 64 << 10;
/** A TPM takes its time. */
const DEADLINE_MS = 60_000;

async function creds(system: System, args: readonly string[], stdin: Uint8Array): Promise<Buffer> {
  const exit = await system.run({ argv: ["systemd-creds", ...args, "-", "-"], stdin, timeoutMs: DEADLINE_MS });
  if (exit.status === 0 && exit.stdout.length > 0) return exit.stdout;
  exit.stdout.fill(0);
  const why = exit.stderr.toString().trim().split("\n").at(-1)?.slice(0, 200) ?? "";
  throw notSealed(
    `systemd-creds could not ${args[0]} it: ${why}`,
    "See systemd-creds(1); it is there since systemd 250.",
  );
}

async function hasTpm(system: System): Promise<boolean> {
  const { status } = await system.run({ argv: ["systemd-creds", "has-tpm2"], timeoutMs: DEADLINE_MS });
  return status === 0;
}

function notSealed(what: string, remedy: string): NightlatchError {
  return new NightlatchError("store/not-sealed", what, {
    meaning: "Nothing was changed: the master key is where it was.",
    remedy,
  });
}
