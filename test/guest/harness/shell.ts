/**
 * Commands in the guest, over a virtio port that files/test-shell answers: exact output and exit
 * status, no screen scraping. It is there from early in the boot until the shutdown; each boot
 * announces itself with its boot id.
 */
import type { Duplex } from "node:stream";

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class Shell {
  readonly #stream: Duplex;
  #rest = "";
  #nextId = 1;
  #bootId: string | null = null;
  readonly #boots = new Set<(bootId: string) => void>();
  readonly #answers = new Map<string, (outcome: Outcome) => void>();
  readonly #failures = new Set<(error: Error) => void>();

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      const lines = (this.#rest + text).split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) this.#take(line.split(" "));
    });
    stream.on("error", () => {});
    stream.on("close", () => this.#failAll(new Error("the guest is gone")));
  }

  /** The boot id of the boot that answers now; null before the first. */
  get bootId(): string | null {
    return this.#bootId;
  }

  /** Waits for a boot other than `previous`. */
  async booted(previous: string | null, timeoutMs: number): Promise<string> {
    if (this.#bootId !== null && this.#bootId !== previous) return this.#bootId;
    return this.#within(timeoutMs, "a boot of the guest", (resolve) => {
      const listener = (bootId: string) => {
        if (bootId === previous) return;
        this.#boots.delete(listener);
        resolve(bootId);
      };
      this.#boots.add(listener);
    });
  }

  /**
   * Runs a bash script as root; whatever its exit status (124: it took longer than the deadline).
   */
  run(script: string, timeoutMs: number, stdin = ""): Promise<Outcome> {
    const id = `r${this.#nextId++}`;
    const encoded = [script, stdin].map((text) => Buffer.from(text).toString("base64"));
    const answer = this.#within<Outcome>(timeoutMs + 30_000, JSON.stringify(script), (resolve) => {
      this.#answers.set(id, resolve);
    });
    this.#stream.write(`${id} ${Math.ceil(timeoutMs / 1000)} ${encoded.join(" ")}\n`);
    return answer;
  }

  #take([id = "", ...fields]: string[]): void {
    const [first = "", stdout = "", stderr = ""] = fields;
    if (id === "ready") {
      this.#bootId = first;
      for (const listener of [...this.#boots]) listener(first);
    } else {
      this.#answers.get(id)?.({ status: Number(first), stdout: decode(stdout), stderr: decode(stderr) });
      this.#answers.delete(id);
    }
  }

  #within<T>(timeoutMs: number, what: string, start: (resolve: (value: T) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error) => {
        clearTimeout(timer);
        this.#failures.delete(fail);
        reject(error);
      };
      const timer = setTimeout(() => fail(new Error(`no answer to ${what} within ${timeoutMs / 1000} s`)), timeoutMs);
      this.#failures.add(fail);
      start((value) => {
        clearTimeout(timer);
        this.#failures.delete(fail);
        resolve(value);
      });
    });
  }

  #failAll(error: Error): void {
    for (const fail of [...this.#failures]) fail(error);
  }
}

/** A full stop ends the field, so that an empty one is a word too. */
const decode = (field: string): string => Buffer.from(field.slice(0, -1), "base64").toString();
