import { parentPort } from "node:worker_threads";
import { chooseExchange } from "./server/exchange/choose.ts";
import { jobsIn } from "./server/exchange/jobs.ts";

/**
 * The thread that multiplies where the server releases many keys at once. It is handed memory with
 * the jobs in it, and hands the same memory back. docs/decisions/149-many-exchanges-on-a-thread.md
 */
const exchange = chooseExchange();
const port = parentPort;

port?.on("message", (memory: ArrayBuffer) => {
  for (const { scalar, point } of jobsIn(memory)) {
    try {
      exchange.multiply(scalar, point).copy(point);
    } catch {
      point.fill(0); // no point of the curve
    } finally {
      scalar.fill(0);
    }
  }
  port.postMessage(memory, [memory]);
});
port?.postMessage("started");
