// @ts-nocheck
import { changeCommand } from "./change.ts";

export const command = changeCommand(
  "unlock",
  "release to a locked machine again",
  "The machine's volumes open by themselves again. A machine that was revoked cannot be unlocked.",
);
