// @ts-nocheck
import { type Binding, bindingJson, formatBinding } from "../../../bindings/binding.ts";
import { isError, type NightlatchError } from "../../../core/errors.ts";
import { describeFailure } from "../../report.ts";
import type { BindInput } from "../bind/options.ts";
import { isWaiting } from "./window.ts";

/** What came of a run over one volume. */
export interface Done {
  readonly rotated: Record<string, unknown>[];
  readonly removed: Record<string, unknown>[];
  readonly kept: Record<string, unknown>[];
  /** Bindings whose server releases nothing now, by its policy or by an operator's word. */
  readonly waiting: Record<string, unknown>[];
  readonly failed: { readonly binding: Binding; readonly error: NightlatchError }[];
}

/**
 * Does something for one binding. Where that fails the others are gone on with; what a server does
 * not release for now is no failure.
 * @throws NightlatchError usage/cancelled; and what is no error of ours
 */
export async function attempt(
  { input, done }: { readonly input: Pick<BindInput, "terminal">; readonly done: Done },
  binding: Binding,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isError(error) || error.code === "usage/cancelled") throw error;
    if (!isWaiting(error)) {
      done.failed.push({ binding, error });
      return;
    }
    const { code, message } = error;
    input.terminal.line(`It waits: ${formatBinding(binding)}: ${message} [${code}]`);
    done.waiting.push({ binding: bindingJson(binding), code, message });
  }
}

/** Tells a person of the failures. @returns what it tells a program: docs/json.md */
export function tell(
  { terminal }: BindInput,
  device: string,
  uuid: string,
  { rotated, removed, kept, waiting, failed, ended }: Done & { readonly ended: readonly string[] },
): Record<string, unknown> {
  for (const { binding, error } of failed) {
    terminal.hint(`nightlatch: ${formatBinding(binding)} stays as it is.\n${describeFailure(error).text}`);
  }
  return {
    ok: failed.length === 0,
    device,
    uuid,
    rotated,
    removed,
    kept,
    waiting,
    ended,
    failed: failed.map(({ binding, error: { code, message } }) => ({ binding: bindingJson(binding), code, message })),
  };
}
