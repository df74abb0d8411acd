import { isError, NightlatchError } from "../../core/errors.ts";
import { type Cosignature, findCosignature, isCosigned } from "../../formats/log/cosignature.ts";
import type { SignedCheckpoint } from "../../formats/log/note.ts";
import { parseSize } from "../../formats/log/submission.ts";
import type { System } from "../../system/port.ts";
import { every } from "../clock.ts";
import { keepAnswers, nextRound, submissionFor, type WitnessAnswer } from "../service/log/cosigned.ts";
import type { Service } from "../service/service.ts";

type Witness = NonNullable<Awaited<ReturnType<typeof nextRound>>>["witnesses"][number];

/** What asking takes. */
type AskingPower = Pick<System, "request" | "monotonicMs">;

/** How often it is looked whether the log has grown. */
const INTERVAL_MS = 2_000;
const TIMEOUT_MS = 10_000;
const ANSWER_BYTES = 8_192;
/** The longest that a witness is left alone after failures. */
const LONGEST_PAUSE_MS = 300_000;

/** What came of asking a witness. */
interface Answer extends WitnessAnswer {
  readonly failure: NightlatchError | null;
}

/**
 * Has the log's last checkpoint signed by its witnesses, as it grows: docs/format/witness.md.
 * Nothing waits for it. A witness that does not answer costs its signature alone.
 */
export class WitnessAsker {
  readonly #service: Service;
  readonly #system: AskingPower;
  readonly #report: (error: unknown) => void;
  readonly #stop = new AbortController();
  /** When a witness that failed may be asked again, by its name, and after which pause. */
  readonly #pauses = new Map<string, { readonly untilMs: number; readonly pauseMs: number }>();
  readonly #rounds: Disposable;
  #asking: Promise<void> | null = null;

  /** @param report is told of every failure */
  constructor(service: Service, system: AskingPower, report: (error: unknown) => void) {
    this.#service = service;
    this.#system = system;
    this.#report = report;
    this.#rounds = every(service.system, INTERVAL_MS, () => {
      this.#asking ??= this.ask()
        .catch(report)
        .finally(() => {
          this.#asking = null;
        });
    });
  }

  /** Gives up what is asked. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#rounds[Symbol.dispose]();
    await this.#asking;
  }

  /** Asks those that have not signed the log as it is, once. @throws NightlatchError store/* */
  async ask(): Promise<void> {
    const round = await nextRound(this.#service);
    const nowMs = this.#system.monotonicMs();
    const due = round?.witnesses.filter(({ name }) => (this.#pauses.get(name)?.untilMs ?? 0) <= nowMs) ?? [];
    if (round === null || due.length === 0) return;
    const { checkpoint } = round;
    const answers = await Promise.all(due.map((witness) => this.#askOne(witness, checkpoint)));
    if (this.#stop.signal.aborted) return;
    for (const { name, failure } of answers) this.#note(name, failure);
    const heard = answers.filter(
      ({ name, seen, cosignature }) =>
        cosignature !== null || due.some((witness) => witness.name === name && witness.seen !== seen),
    );
    if (heard.length > 0) await keepAnswers(this.#service, checkpoint, heard);
  }

  #note(name: string, failure: NightlatchError | null): void {
    if (failure === null) {
      this.#pauses.delete(name);
      this.#service.witnessFailures.delete(name);
      return;
    }
    const pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * (this.#pauses.get(name)?.pauseMs ?? INTERVAL_MS));
    this.#pauses.set(name, { untilMs: this.#system.monotonicMs() + pauseMs, pauseMs });
    this.#service.witnessFailures.set(name, failure);
    this.#report(failure);
  }

  async #askOne(witness: Witness, checkpoint: SignedCheckpoint): Promise<Answer> {
    const { name } = witness;
    // What is larger than the log is asked about anew: the witness's operator may have begun anew.
    let seen = witness.seen > checkpoint.size ? 0 : witness.seen;
    const failed = (failure: NightlatchError): Answer => ({ name, seen, cosignature: null, failure });
    try {
      // The second time from the size that it has told.
      for (let attempt = 0; attempt < 2; attempt++) {
        const { status, body } = await this.#post(witness, await submissionFor(this.#service, checkpoint, seen));
        if (status === 200) {
          const cosignature = read(body, witness, checkpoint);
          if (cosignature === null) return failed(refused(name, "its answer is not signed by its key"));
          return { name, seen: checkpoint.size, cosignature, failure: null };
        }
        if (status === 422) return failed(inconsistent(name, "the log has not grown from the one that it signed"));
        const size = status === 409 ? parseSize(body) : null;
        if (size === null) return failed(refused(name, `it answers ${status}${MEANINGS[status] ?? ""}`));
        seen = size;
        if (size > checkpoint.size) return failed(inconsistent(name, `it has signed ${size} entries already`));
      }
      return failed(refused(name, "it tells another size each time"));
    } catch (error) {
      if (!isError(error)) throw error;
      return failed(refused(name, error.message));
    }
  }

  #post({ url }: Witness, body: Buffer): ReturnType<System["request"]> {
    return this.#system.request({
      method: "POST",
      url: `${url}/witness/add-checkpoint`,
      headers: { "content-type": "text/plain; charset=utf-8" },
      body,
      timeoutMs: TIMEOUT_MS,
      limitBytes: ANSWER_BYTES,
      signal: this.#stop.signal,
    });
  }
}

const MEANINGS: Readonly<Record<number, string>> = {
  403: " (it knows this log by another key)",
  404: " (it knows no such log)",
};

function read(body: Buffer, { name, publicKey }: Witness, checkpoint: SignedCheckpoint): Cosignature | null {
  const found = findCosignature(body.toString("utf8"), { origin: name, publicKey });
  return found !== null && isCosigned(checkpoint, found, publicKey) ? found : null;
}

function refused(name: string, why: string): NightlatchError {
  return new NightlatchError("witness/refused", `${name} does not cosign the log now: ${why}`, {
    meaning: "Releases go on as ever. Machines that want its signature will say that it is missing.",
    remedy: "See nightlatch witness list, here and at the witness.",
  });
}

function inconsistent(name: string, why: string): NightlatchError {
  return new NightlatchError("witness/inconsistent", `${name} has seen another log than this one: ${why}`, {
    meaning:
      "An older copy of the store is in use here, or the log was rewritten. The witness signs it no more, and machines " +
      "that want its signature will say so.",
    remedy:
      "Put the latest store back. If it is lost, tell who runs the witness, who can begin anew there: nightlatch witness remove ORIGIN",
  });
}
