/**
 * The time for a program that should need an instant. It ends one that hangs, and leaves time to
 * one on a machine that is starting, short of memory, or busy with what comes before it.
 */
// @ts-nocheck

export const SMALL_PROGRAM_MS = 2 * 60_000;
