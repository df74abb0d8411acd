// @ts-nocheck
import { describeDefect, traceOf } from "../core/defect.ts";
import { NightlatchError } from "../core/errors.ts";
import type { ExitStatus, Terminal } from "./command.ts";

interface Failure {
  readonly text: string;
  readonly json: Record<string, unknown>;
  readonly status: ExitStatus;
}

/**
 * What is printed for a failure, and the exit status. It holds neither the chain of causes nor what
 * an unexpected error says: they could hold what a peer sent.
 */
export function describeFailure(error: unknown): Failure {
  if (error instanceof NightlatchError) {
    const { code, message, meaning, remedy } = error;
    return failure(`${message} [${code}]`, { code, message, meaning, remedy }, code.startsWith("usage/") ? 2 : 1);
  }
  const message = `internal error: ${describeDefect(error)}`;
  return failure(message, { code: "internal", message, meaning: DEFECT_MEANING, remedy: DEFECT_REMEDY }, 1);
}

const DEFECT_MEANING =
  "This is a defect in Nightlatch. A volume that opened before still opens; what was begun is taken back or completed by the next run.";
const DEFECT_REMEDY =
  "Please report it with this line, nightlatch --version, and what the same command says with NIGHTLATCH_DEBUG=1 set; neither holds a key.";

interface Told {
  readonly code: string;
  readonly message: string;
  readonly meaning: string | undefined;
  readonly remedy: string | undefined;
}

function failure(first: string, told: Told, status: ExitStatus): Failure {
  const more = [told.meaning, told.remedy].filter((line) => line !== undefined).map((line) => `\n  ${line}`);
  return { text: `nightlatch: ${first}${more.join("")}`, json: { ok: false, error: told }, status };
}

/**
 * Tells of a failure as every command does, and gives the exit status. With NIGHTLATCH_DEBUG set it
 * tells where a defect came from too.
 */
export function tellFailure(terminal: Pick<Terminal, "result" | "hint">, error: unknown): ExitStatus {
  const { text, json, status } = describeFailure(error);
  terminal.result(json);
  terminal.hint(text);
  if (process.env["NIGHTLATCH_DEBUG"] && !(error instanceof NightlatchError)) terminal.hint(traceOf(error));
  return status;
}

/**
 * Node's exit status where the program still waits, and nothing is left that could end the wait.
 */
const UNSETTLED = 13;

/**
 * From now on, an error that nobody caught is told like every failure, and ends the process:
 * nothing is known of its state any more. That may cut a change short anywhere, as a power cut may.
 */
export function catchDefects(terminal: Pick<Terminal, "result" | "hint">): void {
  process.on("uncaughtException", (error: unknown) => {
    process.exit(tellFailure(terminal, error));
  });
  process.on("exit", (status) => {
    if (status !== UNSETTLED) return;
    const error = new Error();
    error.name = "NeverSettled";
    process.exitCode = tellFailure(terminal, error);
  });
}
