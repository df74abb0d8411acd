import type { Duplex } from "node:stream";

/**
 * QEMU's machine protocol, as far as the tests need it: commands one after the other, events
 * ignored.
 */
export class Control {
  readonly #stream: Duplex;
  #rest = "";
  readonly #answers: ((message: QmpMessage) => void)[] = [];
  #ready: Promise<unknown>;

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.setEncoding("utf8");
    stream.on("error", () => {});
    stream.on("data", (text: string) => {
      const lines = (this.#rest + text).split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) {
        const message = JSON.parse(line) as QmpMessage;
        if ("return" in message || "error" in message) this.#answers.shift()?.(message);
      }
    });
    this.#ready = this.#send("qmp_capabilities", {});
  }

  /** @throws Error with QEMU's own words */
  async execute(command: string, values: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    await this.#ready;
    return this.#send(command, values);
  }

  #send(command: string, values: Readonly<Record<string, unknown>>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#answers.push((message) => {
        if (message.error === undefined) resolve(message.return);
        else reject(new Error(`QEMU, ${command}: ${message.error.desc}`));
      });
      this.#stream.write(`${JSON.stringify({ execute: command, arguments: values })}\n`);
    });
  }
}

interface QmpMessage {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}
