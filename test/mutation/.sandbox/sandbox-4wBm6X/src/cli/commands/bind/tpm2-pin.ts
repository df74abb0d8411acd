// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import type { Secret } from "../../../core/secret.ts";
import { SALT_BYTES } from "../../../formats/clevis/tpm2.ts";
import type { Attempts } from "../../../formats/tpm2/attempts.ts";
import type { Registers } from "../../../formats/tpm2/registers.ts";
import { holderOf } from "../../../pins/tpm2/attended.ts";
import type { NewPin } from "../../../pins/tpm2/seal.ts";
import { askingForPins, keepPin } from "../../volume/card-pin.ts";
import type { BindInput } from "./options.ts";

/** The chip's own limit keeps whoever has four digits to guess from getting through them. */
const [FEWEST_BYTES, MOST_BYTES] = [4, 256];

/** The PIN of new bindings: asked for once, however many volumes get one. */
export class ChipPin {
  readonly #input: Pick<BindInput, "system" | "terminal">;
  readonly #registers: Registers | null;
  readonly #former: Buffer | null;
  #pin: Secret | null = null;

  /** @param former the salt of a binding whose PIN stays; null: a new one is typed, twice */
  constructor(input: Pick<BindInput, "system" | "terminal">, registers: Registers | null, former: Buffer | null) {
    this.#input = input;
    this.#registers = registers;
    this.#former = former;
  }

  /**
   * Gives the PIN with a salt of its own for one more volume. Its proof will not ask again.
   * @throws NightlatchError usage/no-terminal, usage/cancelled, usage/wrong
   */
  async forVolume(attempts: Attempts): Promise<NewPin> {
    const { system, terminal } = this.#input;
    this.#pin ??= await this.#ask(attempts);
    const salt = system.random(SALT_BYTES);
    keepPin(terminal, holderOf({ registers: this.#registers, salt }), this.#pin);
    return { value: this.#pin, salt };
  }

  wipe(): void {
    this.#pin?.wipe();
    this.#pin = null;
  }

  async #ask({ limit, intervalSeconds }: Attempts): Promise<Secret> {
    const { system, terminal } = this.#input;
    if (this.#former !== null) {
      return await askingForPins(system, terminal).askPin(holderOf({ registers: this.#registers, salt: this.#former }));
    }
    terminal.hint(
      `The TPM locks after ${limit} wrong PINs, for all that counts attempts there, and takes one off its count after ${intervalSeconds} s.`,
    );
    terminal.hint("Only a person opens the volume by it: no boot, and nothing before the root, asks for this PIN.");
    const pin = await terminal.askSecret("New PIN for the machine's TPM: ");
    try {
      if (pin.lengthBytes < FEWEST_BYTES || pin.lengthBytes > MOST_BYTES) {
        throw refused(`a PIN has from ${FEWEST_BYTES} to ${MOST_BYTES} bytes`);
      }
      using again = await terminal.askSecret("The same PIN again: ");
      if (!again.reveal().equals(pin.reveal())) throw refused("the two PINs differ");
      return pin;
    } catch (error) {
      pin.wipe();
      throw error;
    }
  }
}

function refused(why: string): NightlatchError {
  return new NightlatchError("usage/wrong", `bind: ${why}`, { meaning: "Nothing was changed." });
}
