/** Faults of a server that cosigns the log of another. */
import { EMPTY_RANGE, rootOf } from "../../src/formats/log/merkle.ts";
import { altered, type Fault } from "./faults.ts";

export const FAULTS_OF_WITNESSES: readonly Fault[] = [
  {
    // Every log has grown from nothing: whether it has grown from what was signed is not looked at.
    name: "what a witness has signed is not held to what it signs next",
    breaks: ["witness"],
    transaction: (transaction) =>
      altered(transaction, {
        witnessedLog: async (origin) => {
          const log = await transaction.witnessedLog(origin);
          return log === null ? null : { ...log, size: 0, root: rootOf(EMPTY_RANGE) };
        },
      }),
  },
];
