/**
 * The guest's serial console: everything that it prints is kept in a file, and what is waited for
 * is searched from where the last wait ended. A wait that fails says what the console showed last.
 */
import { createWriteStream, type WriteStream } from "node:fs";
import type { Duplex } from "node:stream";

const TAIL_LINES = 40;

export class Console {
  readonly #stream: Duplex;
  readonly #log: WriteStream;
  /** Where the transcript is kept. */
  readonly file: string;
  #text = "";
  #seen = 0;
  #ended: string | null = null;
  readonly #waiting = new Set<() => void>();

  constructor(stream: Duplex, file: string) {
    this.#stream = stream;
    this.file = file;
    this.#log = createWriteStream(file);
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      this.#log.write(text);
      this.#text += text;
      this.#wake();
    });
    stream.on("error", () => {}); // QEMU's own end tells
    stream.on("close", () => this.#log.end());
  }

  /** Nothing more will come: every wait fails with this reason. */
  end(reason: string): void {
    this.#ended ??= reason;
    this.#wake();
  }

  /**
   * Resolves with the match once the text behind the last match has one.
   * @throws Error at the deadline, or when the guest is gone
   */
  waitFor(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer);
        this.#waiting.delete(look);
      };
      const look = () => {
        const match = pattern.exec(this.#text.slice(this.#seen));
        if (match !== null) {
          this.#seen += match.index + match[0].length;
          settle();
          resolve(match);
        } else if (this.#ended !== null) {
          settle();
          reject(this.#failure(pattern, this.#ended));
        }
      };
      const timer = setTimeout(() => {
        settle();
        reject(this.#failure(pattern, `not within ${timeoutMs / 1000} s`));
      }, timeoutMs);
      this.#waiting.add(look);
      look();
    });
  }

  /** Types at the console, as a person would; `\n` is Enter. */
  type(text: string): void {
    this.#stream.write(text.replaceAll("\n", "\r"));
  }

  /** What was printed since the last match. */
  unseen(): string {
    return this.#text.slice(this.#seen);
  }

  /** Everything printed so far. */
  transcript(): string {
    return this.#text;
  }

  /** The last lines, without escape sequences. */
  tail(): string {
    const lines = this.#text.replaceAll(ESCAPES, "").replaceAll("\r", "").split("\n");
    return lines.slice(-TAIL_LINES).join("\n");
  }

  #wake(): void {
    for (const look of [...this.#waiting]) look();
  }

  #failure(pattern: RegExp, why: string): Error {
    return new Error(`the console did not show ${pattern} (${why}); its end, of ${this.file}:\n${this.tail()}`);
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence begins with one
const ESCAPES = /\u001b\[[0-9;?]*[A-Za-z]/g;
