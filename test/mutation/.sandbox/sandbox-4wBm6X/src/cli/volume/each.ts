// @ts-nocheck
import { isError } from "../../core/errors.ts";
import type { ExitStatus, Terminal } from "../command.ts";
import { describeFailure } from "../report.ts";

/**
 * Does the work for one volume after the other. One that fails is told, and does not keep the
 * others from theirs; a person who cancels does. What `work` gives has `ok`, which is false where a
 * part of it failed and was told. A program is told of one volume as `work` tells, and of several
 * in `results`: docs/json.md.
 * @throws what `work` throws, where there is one volume alone
 */
export async function workOnEach(
  terminal: Terminal,
  devices: readonly string[],
  work: (device: string) => Promise<Record<string, unknown>>,
): Promise<ExitStatus> {
  const [only = "", ...others] = devices;
  if (others.length === 0) {
    const result = await work(only);
    terminal.result(result);
    return result["ok"] === true ? 0 : 1;
  }
  const results: Record<string, unknown>[] = [];
  let failed = false;
  for (const device of devices) {
    try {
      const result = await work(device);
      results.push(result);
      failed ||= result["ok"] !== true;
    } catch (error) {
      if (!isError(error)) throw error; // a defect: nothing is known of what is to come
      failed = true;
      const { text, json } = describeFailure(error);
      terminal.hint(text);
      results.push({ device, ...json });
      if (error.code === "usage/cancelled") break;
    }
  }
  const rest = devices.slice(results.length);
  if (rest.length > 0) terminal.hint(`nightlatch: not begun: ${rest.join(", ")}`);
  terminal.result({ ok: !failed, results });
  return failed ? 1 : 0;
}
