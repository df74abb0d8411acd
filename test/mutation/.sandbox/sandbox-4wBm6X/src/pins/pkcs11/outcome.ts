// @ts-nocheck
import { type ErrorCode, NightlatchError } from "../../core/errors.ts";
import { printable } from "../../core/text.ts";
import type { CardAnswer, CardOutcome, TokenFacts } from "../../formats/pkcs11/exchange.ts";
import { formatPkcs11Uri, type Pkcs11Uri } from "../../formats/pkcs11/uri.ts";

const UNTRIED = "No PIN was tried. The passphrase opens the volume.";
const BY_HAND = "Try it once by hand, which sets the card's count back: pkcs11-tool --login --list-objects";

interface Failure {
  readonly code: ErrorCode;
  readonly message: (facts: MessageFacts) => string;
  readonly meaning: string;
  readonly remedy: string;
}

interface MessageFacts {
  readonly uri: string;
  readonly token: string;
  readonly seen: string;
  readonly failure: string;
}

const FAILURES: Readonly<Record<Exclude<CardOutcome, "done">, Failure>> = {
  "no-driver": {
    code: "card/no-driver",
    message: () => "the card's driver cannot be loaded",
    meaning: UNTRIED,
    remedy: "See why: pkcs11-tool --module FILE --list-slots",
  },
  absent: {
    code: "card/absent",
    message: ({ uri, seen }) => `no card is there that is ${uri}; there are: ${seen}`,
    meaning: UNTRIED,
    remedy: "Put the card in. To see what there is: pkcs11-tool --list-token-slots, or p11tool --list-tokens",
  },
  "several-tokens": {
    code: "card/ambiguous",
    message: ({ uri, seen }) => `several cards are ${uri}: ${seen}`,
    meaning: UNTRIED,
    remedy: "Leave one in, or bind to one by its serial number: pkcs11:serial=…",
  },
  "no-key": {
    code: "card/no-key",
    message: ({ uri, token }) => `the token ${token} has no key that can be used as ${uri}`,
    meaning: "The PIN was right, if one was asked for. The passphrase opens the volume.",
    remedy: "See what is on it: pkcs11-tool --login --list-objects",
  },
  "several-keys": {
    code: "card/ambiguous",
    message: ({ uri, token }) => `the token ${token} has several keys that are ${uri}`,
    meaning: "Nothing was changed.",
    remedy: "Name one by its label or its identifier: …;object=LABEL or …;id=%01",
  },
  "pin-needed": {
    code: "card/pin-needed",
    message: ({ token }) => `the PIN of the token ${token} is needed`,
    meaning: UNTRIED,
    remedy: "At a terminal nightlatch unlock asks for it.",
  },
  "pin-pad": {
    code: "card/unsupported",
    message: ({ token }) => `the token ${token} takes its PIN on its own keypad only`,
    meaning: UNTRIED,
    remedy: "Use a reader without a keypad, or another card.",
  },
  "wrong-pin": {
    code: "card/wrong-pin",
    message: ({ token }) => `the PIN of the token ${token} is wrong`,
    meaning: "The card has counted one try. It is not tried again by itself. The passphrase opens the volume.",
    remedy: BY_HAND,
  },
  "few-tries": {
    code: "card/few-tries",
    message: ({ token }) => `a wrong PIN was given to the token ${token}, and nobody is there to type the right one`,
    meaning: "No PIN was tried, so that the card does not lock. The passphrase opens the volume.",
    remedy: BY_HAND,
  },
  "last-try": {
    code: "card/few-tries",
    message: ({ token }) => `the token ${token} locks at the next wrong PIN`,
    meaning: "No PIN was tried, so that the card does not lock. The passphrase opens the volume.",
    remedy: BY_HAND,
  },
  locked: {
    code: "card/locked",
    message: ({ token }) => `the token ${token} is locked: its PIN was wrong too often`,
    meaning: "The passphrase opens the volume.",
    remedy: "Set a new PIN with the card's PUK or SO PIN: pkcs11-tool --init-pin --so-pin …, or the card's own tool.",
  },
  unsupported: {
    code: "card/unsupported",
    message: ({ token, failure }) => `the token ${token} cannot do what the binding needs${failure}`,
    meaning: "The PIN was right, if one was asked for. The passphrase opens the volume.",
    remedy: "See what it can do: pkcs11-tool --list-mechanisms. Needed is RSA-PKCS-OAEP, RSA-PKCS or ECDH1-DERIVE.",
  },
  failed: {
    code: "card/failed",
    message: ({ token, failure }) => `the token ${token} failed${failure}`,
    meaning: "The passphrase opens the volume.",
    remedy: "See whether it works for others: pkcs11-tool --login --test",
  },
};

/** The error for what a card answered in place of doing what it was asked. */
export function cardFailure({ outcome, token, seen, failure }: CardAnswer, uri: Pkcs11Uri): NightlatchError {
  if (outcome === "done") throw new TypeError("the card has done it");
  const { code, message, meaning, remedy } = FAILURES[outcome];
  const facts: MessageFacts = {
    uri: formatPkcs11Uri({ token: uri.token, object: uri.object }),
    token: nameOf(token),
    seen: seen === undefined || seen.length === 0 ? "none" : seen.map((label) => quoted(label)).join(", "),
    failure: failure === undefined ? "" : ` (${failure.name}: 0x${failure.value.toString(16)})`,
  };
  return new NightlatchError(code, message(facts), { meaning, remedy });
}

/** The error for a PIN that was wrong before: it is not tried again. */
export function knownWrong(token: TokenFacts | null): NightlatchError {
  const name = nameOf(token ?? undefined);
  return new NightlatchError(
    "card/wrong-pin",
    `the PIN of the token ${name} was wrong before, and is not tried again`,
    {
      meaning: "The card has counted no further try. The passphrase opens the volume.",
      remedy: BY_HAND,
    },
  );
}

const quoted = (text: string): string => JSON.stringify(printable(text, 40));
const nameOf = (token: TokenFacts | undefined): string => (token === undefined ? "on the card" : quoted(token.label));
