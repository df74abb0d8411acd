// @ts-nocheck
import { NightlatchError } from "../core/errors.ts";
import type { Secret } from "../core/secret.ts";

/**
 * What staging a boot has to say and to ask: of a person at a terminal, or of nobody and the
 * journal.
 */
export interface Conversation {
  /** Progress, and what a person must know before keys are made. */
  hint(text: string): void;
  /**
   * Resolves once somebody has agreed.
   * @throws NightlatchError usage/no-terminal, usage/cancelled
   */
  requireConsent(question: string): Promise<void>;
  /**
   * The key that was given beforehand, which is read only once it is needed; null where none was.
   * The caller wipes it.
   * @throws NightlatchError file/*
   */
  givenKey(): Promise<Secret | null>;
  /**
   * Asks for a passphrase, which the caller wipes; null where nobody can be asked.
   * @throws NightlatchError usage/no-terminal, usage/cancelled
   */
  readonly askSecret: ((prompt: string) => Promise<Secret>) | null;
  /** Aborted by whoever wants the reboot no more. */
  readonly signal: AbortSignal;
}

/** @throws NightlatchError usage/cancelled where the reboot is not wanted any more */
export function requireNotCancelled({ signal }: Pick<Conversation, "signal">): void {
  if (signal.aborted) throw new NightlatchError("usage/cancelled", "cancelled");
}
