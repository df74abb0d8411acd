// @ts-nocheck
import { isError, NightlatchError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";
import { printable } from "../../core/text.ts";
import type { TokenFacts } from "../../formats/pkcs11/exchange.ts";
import type { Pkcs11Uri } from "../../formats/pkcs11/uri.ts";
import type { System } from "../../system/port.ts";
import type { AskPin } from "../ask-pin.ts";

/** What finding a PIN takes. */
export interface PinSourcePower extends Pick<System, "readFileIfPresent" | "findExposures"> {
  /** Absent where nobody can be asked, as in the agent. */
  readonly askPin?: AskPin;
}

/** Where files of PINs are that a URI may name: nothing else on the disk is sent to a card. */
const FOLDERS = ["/etc/nightlatch/pins/", "/run/credentials/"];
/** Name of a credential of the unit; one for a single token has its serial number behind a dot. */
const CREDENTIAL = "nightlatch.pkcs11-pin";
const FILE_SCHEME = "file:";
/** Longer than any card's. */
const PIN_BYTES = 256;

/**
 * Gives the PIN that a URI itself says, or the file that it names; null where it says none.
 * @throws NightlatchError card/pin-needed, file/*
 */
export async function statedPin(system: PinSourcePower, { pinValue, pinSource }: Pkcs11Uri): Promise<Secret | null> {
  if (pinValue !== undefined) return checked(Secret.copy(Buffer.from(pinValue)), "the binding's own");
  if (pinSource === undefined) return null;
  const path = pinSource.startsWith(FILE_SCHEME) ? pinSource.slice(FILE_SCHEME.length) : pinSource;
  const isPlain = !path.split("/").some((part) => part === "." || part === "..");
  if (!isPlain || !FOLDERS.some((folder) => path.startsWith(folder))) {
    throw needed(`the file of its PIN is not in ${FOLDERS.join(" or ")}`);
  }
  const pin = await readPin(system, path);
  if (pin === null) throw needed(`${path} is not there`);
  return pin;
}

/**
 * Gives the PIN of a token that systemd has handed to this unit as a credential; null where there
 * is none. One for the token's serial number goes before one for any token.
 * @throws NightlatchError card/pin-needed, file/*
 */
export async function credentialPin(
  system: PinSourcePower,
  { serial }: TokenFacts,
  folder: string | undefined = process.env["CREDENTIALS_DIRECTORY"],
): Promise<Secret | null> {
  if (folder === undefined || !folder.startsWith("/")) return null;
  const own = /^[\w-]{1,64}$/.test(serial) ? await readPin(system, `${folder}/${CREDENTIAL}.${serial}`) : null;
  return own ?? (await readPin(system, `${folder}/${CREDENTIAL}`));
}

async function readPin(system: PinSourcePower, path: string): Promise<Secret | null> {
  const [exposure] = await system.findExposures([{ path, isSecret: true }]);
  if (exposure !== undefined) throw needed(`others than root can read or change ${exposure.path}`);
  const bytes = await system.readFileIfPresent(path, PIN_BYTES + 1).catch((error: unknown) => {
    throw isError(error, "file/too-large") ? needed(`${path} is longer than a PIN`) : error;
  });
  if (bytes === null) return null;
  const end = bytes.at(-1) === 0x0a ? bytes.length - 1 : bytes.length;
  const pin = Secret.copy(bytes.subarray(0, end));
  bytes.fill(0);
  return checked(pin, path);
}

function checked(pin: Secret, where: string): Secret {
  if (pin.lengthBytes > 0 && pin.lengthBytes <= PIN_BYTES && !pin.reveal().includes(0)) return pin;
  pin.wipe();
  throw needed(`the PIN in ${where} is empty, too long, or holds a zero byte`);
}

/**
 * Asks a person for the PIN of a token. The caller wipes it.
 * @throws NightlatchError card/pin-needed where nobody is there; usage/cancelled
 */
export async function typedPin({ askPin }: PinSourcePower, { label, serial }: TokenFacts): Promise<Secret> {
  const name = `the token ${JSON.stringify(printable(label, 40))}`;
  if (askPin === undefined) throw needed(`the PIN of ${name} is needed`);
  try {
    return await askPin({ name, id: `card ${label}\0${serial}` });
  } catch (error) {
    throw isError(error, "usage/no-terminal") ? needed(`the PIN of ${name} is needed`) : error;
  }
}

function needed(why: string): NightlatchError {
  return new NightlatchError("card/pin-needed", why, {
    meaning: "No PIN was tried. The passphrase opens the volume.",
    remedy:
      "At a terminal nightlatch unlock asks for it. The agent takes it from a systemd credential: " +
      `LoadCredentialEncrypted=${CREDENTIAL} in nightlatch-agent.service.`,
  });
}
