// @ts-nocheck
import type { CardAnswer } from "../../../formats/pkcs11/exchange.ts";
import type { CryptokiName } from "../../../system/native/cryptoki.ts";
import { CKR } from "./constants.ts";

/** What ends a request to a card early. It never leaves the child. */
export class RequestEnded extends Error {
  readonly answer: Omit<CardAnswer, "secrets">;

  constructor(answer: Omit<CardAnswer, "secrets">) {
    super(answer.outcome);
    this.answer = answer;
  }
}

/** Return values that say more than that something failed. */
const OUTCOMES: Readonly<Record<number, CardAnswer["outcome"]>> = {
  [CKR.PIN_INCORRECT]: "wrong-pin",
  [CKR.PIN_INVALID]: "wrong-pin",
  [CKR.PIN_LEN_RANGE]: "wrong-pin",
  [CKR.PIN_LOCKED]: "locked",
  [CKR.TOKEN_NOT_PRESENT]: "absent",
  [CKR.TOKEN_NOT_RECOGNIZED]: "absent",
  [CKR.DEVICE_REMOVED]: "absent",
  [CKR.MECHANISM_INVALID]: "unsupported",
  [CKR.MECHANISM_PARAM_INVALID]: "unsupported",
  [CKR.KEY_FUNCTION_NOT_PERMITTED]: "unsupported",
  [CKR.KEY_TYPE_INCONSISTENT]: "unsupported",
  [CKR.FUNCTION_NOT_SUPPORTED]: "unsupported",
};

/** Ends the request where a function did not return CKR_OK. */
export function must(value: number, name: CryptokiName): void {
  if (value !== CKR.OK) throw new RequestEnded({ outcome: OUTCOMES[value] ?? "failed", failure: { name, value } });
}
