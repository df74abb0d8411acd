import { NightlatchError } from "../core/errors.ts";
import type { ExitStatus } from "./command.ts";

/** What is printed for a failure, and the exit status. Never the cause chain or a stack: they could hold what a peer sent. */
export function describeFailure(error: unknown): { text: string; json: Record<string, unknown>; status: ExitStatus } {
  if (error instanceof NightlatchError) {
    const lines = [`nightlatch: ${error.message} [${error.code}]`];
    if (error.meaning !== undefined) lines.push(`  ${error.meaning}`);
    if (error.remedy !== undefined) lines.push(`  ${error.remedy}`);
    return {
      text: lines.join("\n"),
      json: {
        ok: false,
        error: { code: error.code, message: error.message, meaning: error.meaning, remedy: error.remedy },
      },
      status: error.code.startsWith("usage/") ? 2 : 1,
    };
  }
  const name = error instanceof Error ? `${error.name}: ${error.message}` : "unknown failure";
  return {
    text: `nightlatch: internal error: ${name}\n  This is a defect in Nightlatch; please report it.`,
    json: { ok: false, error: { code: "internal", message: name } },
    status: 1,
  };
}
