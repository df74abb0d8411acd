/** What the server cosigns of another's log, and which of that log's histories it was shown. */
import { createHash } from "node:crypto";
import type { TestLog } from "../support/server/test-log.ts";
import { Violation } from "./violation.ts";

/** A checkpoint, and a history that has it. */
interface Shown {
  readonly log: TestLog;
  readonly size: number;
}

export class WitnessWatch {
  readonly #shown = new Map<string, Shown>();
  readonly #cosigned: Shown[] = [];

  /** A checkpoint of a history of the log is about to be sent. */
  shows(body: Buffer, log: TestLog, size: number): void {
    this.#shown.set(digestOf(body), { log, size });
  }

  /**
   * What was sent is answered, also where the answer is lost.
   * @throws Violation where two are cosigned of which neither has grown from the other
   */
  answered(body: Buffer, status: number): void {
    const shown = this.#shown.get(digestOf(body));
    if (status !== 200) return;
    if (shown === undefined) throw new Violation("witness", "a checkpoint is cosigned that nobody has shown");
    for (const before of this.#cosigned) if (!isOneLog(before, shown)) throw contradiction(before, shown);
    this.#cosigned.push(shown);
  }
}

/** Whether the longer of two histories has the shorter one's checkpoint. */
function isOneLog(one: Shown, other: Shown): boolean {
  if (one.log === other.log) return true;
  const [short, long] = one.size <= other.size ? [one, other] : [other, one];
  return long.log.checkpoint(short.size).root.equals(short.log.checkpoint(short.size).root);
}

function contradiction(before: Shown, after: Shown): Violation {
  return new Violation("witness", `a log of ${after.size} entries is cosigned that forgets one of ${before.size}`);
}

function digestOf(body: Buffer): string {
  return createHash("sha256").update(body).digest("base64");
}
