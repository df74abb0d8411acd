// @ts-nocheck
import { changeCommand } from "./change.ts";

export const command = changeCommand(
  "lock",
  "release nothing to a machine until it is unlocked",
  `Takes effect before the command returns. A machine that runs keeps its volumes open; after its next start they stay closed,
and the passphrase opens them. Can be undone with nightlatch machine unlock.`,
);
