// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import { readVolumeHeader } from "../../../luks/header/header.ts";
import { refuseRequirements } from "../../../luks/header/requirements.ts";
import { defineCommand, type ExitStatus } from "../../command.ts";
import { workOnEach } from "../../volume/each.ts";
import { isStandardInput, namedSlots } from "../../volume/input.ts";
import { Passphrases } from "../../volume/passphrases.ts";
import { setInitramfsUp } from "./initramfs.ts";
import { BIND_OPTIONS, type BindInput } from "./options.ts";
import { BIND_PINS, planOf } from "./pins.ts";
import { leavesOf, type PinRequest, parseBindRequest } from "./request.ts";
import { bindOne } from "./volume.ts";

/** So many words are more than anybody types; they are looked at before they are refused. */
const WORD_COUNT = 1024;
const CONFIGURATION_BYTES = 64 << 10;

export const command = defineCommand({
  name: "bind",
  summary: "let a key server, the machine's TPM or a card open a LUKS volume, beside its passphrase",
  operands: "DEV… latch [INVITE] | DEV… tang URL | DEV… tpm2 [pcr=LIST] [pin] | DEV… pkcs11 URI | DEV… sss T PIN…",
  minOperands: 2,
  maxOperands: WORD_COUNT,
  options: BIND_OPTIONS,
  details: `Adds a keyslot with a random passphrase, and a clevis token that the server's answer opens it with. Then the server is asked, and
the keyslot opened: a binding that does not work is taken back. The volume's own passphrase stays, and the server never learns a key.
A run that is cut short leaves a volume that opens as before; the next bind or unbind clears up.

  latch  on a Nightlatch server. INVITE is the line of nightlatch machine invite; - reads it from standard input. A machine that is
         enrolled needs none; server=URL in its place, or --server URL, says which server's where it is enrolled at several.
  tang   on any tang server, whose thumbprint tang-show-keys shows there; thp=THP behind URL, or --thumbprint THP, gives it.
  tpm2   by the machine's TPM 2.0. With pcr=7,11, or another list of up to eight registers, only in the state that they tell now: an
         update that changes one of them wants bind ... --replace --slot N afterwards, N being the old keyslot. bank=NAME is the bank
         of the registers (sha256), key=ecc or key=rsa the kind of the chip's own key (ecc). With pin it wants a PIN besides, which
         nightlatch unlock asks for, and no boot does; the chip counts wrong ones.
  pkcs11 a key on a card or an HSM, by its URI, such as 'pkcs11:token=ops;object=disk'. Its PIN is asked for, or comes from a
         systemd credential; it is tried once, and never where the card would lock.
  sss    over several pins, of which any T give the key, such as sss 2 latch tang URL. An sss within an sss goes in parentheses, words
         of their own: sss 2 latch \\( sss 1 tang URL1 tang URL2 \\). Each pin is proved by itself.

Of several volumes each is bound and told by itself; one that fails leaves the others bound, and the status is 1. A passphrase that opens
one is tried on the next before you are asked again. In place of a pin's words clevis's own configuration is taken, as a word
(sss '{"t":1,"pins":{"tang":[{"url":"http://a"},{"url":"http://b"}]}}') or from --config FILE.

DEV is an encrypted partition or an image file of one. It is changed by cryptsetup alone, after a backup of its header.

Where the initramfs opens the volume, as it does the root, it is told what is lacking there, and set up after a yes: packages, files, and
the initramfs of each kernel made anew. The old one boots until the new one beside it was read back and proved.`,
  run,
});

async function run(input: BindInput): Promise<ExitStatus> {
  const { options, system, terminal } = input;
  if (options.setup && options["no-setup"]) {
    throw new NightlatchError("usage/wrong", "bind: --setup and --no-setup exclude each other");
  }
  const { devices, pin } = parseBindRequest(input.operands, BIND_PINS, await readConfiguration(input));
  requireFit(input, devices, pin);
  // A slip in DEV, or a reencryption, shows before anything is asked of a server or a person.
  const faults = new Map<string, unknown>();
  for (const device of devices) {
    try {
      refuseRequirements(await readVolumeHeader(system, device), device);
    } catch (error) {
      faults.set(device, error);
    }
  }
  const plan = faults.size < devices.length ? await planOf(input, pin) : null;
  try {
    using passphrases = new Passphrases(input);
    return await workOnEach(terminal, devices, async (device) => {
      if (plan === null || faults.has(device)) throw faults.get(device);
      const result = await bindOne(input, device, plan, passphrases);
      // The lock of the binding is given back by now: an initramfs takes minutes to make.
      return { ...result, initramfs: await setInitramfsUp(input, device) };
    });
  } finally {
    plan?.end?.();
  }
}

/** null where `--config` is not given. */
async function readConfiguration({ options, system, terminal }: BindInput): Promise<Buffer | null> {
  const { config: path } = options;
  if (path === undefined) return null;
  if (!isStandardInput(path)) return system.readFile(path, CONFIGURATION_BYTES);
  if (isStandardInput(options["key-file"])) {
    throw new NightlatchError(
      "usage/wrong",
      "bind: standard input cannot be both the configuration and the passphrase",
    );
  }
  return (await terminal.readInput(CONFIGURATION_BYTES)).reveal();
}

/** Options that say something of one volume or of one pin fit where there is one. */
function requireFit({ options }: BindInput, devices: readonly string[], pin: PinRequest): void {
  if (namedSlots(options.slot).size > 0 && (!options.replace || devices.length > 1)) {
    const what = options.replace ? "--slot goes with one volume alone" : "--slot goes with --replace";
    throw new NightlatchError("usage/wrong", `bind: ${what}, for the keyslot that is to go`);
  }
  const leaves = leavesOf(pin);
  for (const [option, name, word] of PIN_OPTIONS) {
    const count = leaves.filter((leaf) => leaf.name === name).length;
    if (options[option] === undefined || count === 1) continue;
    const remedy = count === 0 ? "Leave it out." : `Say ${word} behind each of them.`;
    throw new NightlatchError("usage/wrong", `bind: --${option} goes with one ${name}, and there are ${count}`, {
      remedy,
    });
  }
}

const PIN_OPTIONS = [
  ["thumbprint", "tang", "thp=THP"],
  ["server", "latch", "server=URL"],
] as const;
