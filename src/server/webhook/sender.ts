import { createHmac } from "node:crypto";
import { isError, NightlatchError } from "../../core/errors.ts";
import type { Secret } from "../../core/secret.ts";
import type { System } from "../../system/port.ts";
import type { Notice } from "../service/memory/notices.ts";

/** What sending takes. */
type SendingPower = Pick<System, "request" | "nowMs" | "random" | "sleep">;

/** Where notices are sent, and what they are signed with. */
interface WebhookTarget {
  readonly url: string;
  /** Taken over, and wiped at the end. */
  readonly key: Secret;
  /** The store's id, by which a receiver tells servers apart. */
  readonly server: string;
}

interface Message {
  readonly id: string;
  readonly body: string;
}

/** So many wait at most; what comes then is dropped, and the operator's log says so. */
const MAX_WAITING = 64;
const TIMEOUT_MS = 10_000;
const ANSWER_BYTES = 64 << 10;
/** Before each further attempt. After the last, the message is given up. */
const PAUSES_MS = [1_000, 10_000, 60_000, 300_000] as const;
const ID_BYTES = 16;

/**
 * Sends notices to one address, in their order, one at a time: docs/format/webhook.md. Nothing
 * waits for it. A receiver that does not answer costs at most the messages that it misses.
 */
export class WebhookSender {
  readonly #system: SendingPower;
  readonly #target: WebhookTarget;
  readonly #report: (error: unknown) => void;
  readonly #stop = new AbortController();
  readonly #waiting: Message[] = [];
  #sending: Promise<void> | null = null;

  /** @param report is told of every message that did not arrive */
  constructor(system: SendingPower, target: WebhookTarget, report: (error: unknown) => void) {
    this.#system = system;
    this.#target = target;
    this.#report = report;
  }

  /** Takes a notice, to be sent as soon as those before it are done. */
  send(notice: Notice): void {
    if (this.#stop.signal.aborted) return;
    if (this.#waiting.length >= MAX_WAITING) {
      this.#report(lost(this.#target.url, "too many wait"));
      return;
    }
    const data = { server: this.#target.server, ...toldOf(notice) };
    const body = JSON.stringify({ type: notice.type, timestamp: new Date(this.#system.nowMs()).toISOString(), data });
    this.#waiting.push({ id: `msg_${this.#system.random(ID_BYTES).toString("base64url")}`, body });
    this.#sending ??= this.#drain().finally(() => {
      this.#sending = null;
    });
  }

  /** Gives up what was not sent yet, and wipes the key. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#sending;
    this.#target.key.wipe();
  }

  async #drain(): Promise<void> {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      await this.#deliver(next).catch(this.#report);
      this.#waiting.shift();
      if (this.#stop.signal.aborted) this.#waiting.length = 0;
    }
  }

  async #deliver(message: Message): Promise<void> {
    const { signal } = this.#stop;
    for (const pauseMs of [...PAUSES_MS, null]) {
      const failure = await this.#attempt(message);
      if (failure === null || signal.aborted) return;
      if (pauseMs === null) return this.#report(lost(this.#target.url, failure));
      try {
        await this.#system.sleep(pauseMs, signal);
      } catch {
        return; // the server stops
      }
    }
  }

  /** Why it did not arrive; null where it did. */
  async #attempt({ id, body }: Message): Promise<string | null> {
    const { url, key } = this.#target;
    const seconds = String(Math.floor(this.#system.nowMs() / 1000));
    const mac = createHmac("sha256", key.reveal()).update(`${id}.${seconds}.${body}`).digest("base64");
    const headers = {
      "content-type": "application/json",
      "webhook-id": id,
      "webhook-timestamp": seconds,
      "webhook-signature": `v1,${mac}`,
    };
    const limits = { timeoutMs: TIMEOUT_MS, limitBytes: ANSWER_BYTES, signal: this.#stop.signal };
    try {
      const { status } = await this.#system.request({
        method: "POST",
        url,
        headers,
        body: Buffer.from(body),
        ...limits,
      });
      return status >= 200 && status < 300 ? null : `it was answered ${status}`;
    } catch (error) {
      if (!isError(error)) throw error;
      return error.message;
    }
  }
}

/** What the message says beside its type. */
function toldOf(notice: Notice): object {
  if (notice.type === "site.held") {
    const { site, silent, of } = notice;
    return { site, silent, of };
  }
  const { type: _type, expiresMs, ...told } = notice;
  return { ...told, expires: new Date(expiresMs).toISOString() };
}

function lost(url: string, why: string): NightlatchError {
  return new NightlatchError("webhook/lost", `a notice did not reach ${new URL(url).host}: ${why}`, {
    meaning: "Releases and approvals go on as ever; nobody was told by it.",
    remedy: "See what waits: nightlatch request list",
  });
}
