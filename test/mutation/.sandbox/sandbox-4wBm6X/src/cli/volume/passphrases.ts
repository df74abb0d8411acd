// @ts-nocheck
import { Secret } from "../../core/secret.ts";
import { readPassphrase, type VolumeInput } from "./input.ts";

/**
 * The passphrases that a run over several volumes was given and that opened one of them. Each is
 * tried on the next volume before anybody is asked again. The caller disposes it, which wipes them.
 */
export class Passphrases implements Disposable {
  readonly #input: VolumeInput;
  readonly #known: Secret[] = [];

  constructor(input: VolumeInput) {
    this.#input = input;
  }

  /**
   * Gives a passphrase to try on a volume; the caller wipes it. Null where it is of no use to ask.
   * @param tries how often one was given for this volume and opened nothing
   * @throws NightlatchError as readPassphrase
   */
  async give(device: string, tries: number): Promise<Secret | null> {
    const known = this.#known[tries];
    if (known !== undefined) return Secret.copy(known.reveal());
    const isFile = this.#input.options["key-file"] !== undefined;
    if (isFile && this.#known.length > 0) return null; // it would give the same again
    const given = await readPassphrase(this.#input, device, tries - this.#known.length);
    if (isFile && given !== null) this.keep(given); // standard input is read once
    return given;
  }

  /** Keeps a copy of one that opened a volume. */
  keep(passphrase: Secret): void {
    const isKnown = this.#known.some((known) => known.reveal().equals(passphrase.reveal()));
    if (!isKnown) this.#known.push(Secret.copy(passphrase.reveal()));
  }

  [Symbol.dispose](): void {
    for (const known of this.#known.splice(0)) known.wipe();
  }
}
