// @ts-nocheck
import type { Binding } from "../../../bindings/binding.ts";
import { readClevis, SERVER_TIMEOUT_MS } from "../../../bindings/recovery.ts";
import { NightlatchError } from "../../../core/errors.ts";
import { parseClevisPin } from "../../../formats/clevis/clevis.ts";
import { parseTangPin } from "../../../formats/clevis/tang.ts";
import { thumbprintOf } from "../../../formats/jose/jwk.ts";
import { isText } from "../../../formats/json/narrow.ts";
import { canonicalAddress, isSameAddress } from "../../../formats/network/server-address.ts";
import { isBaseAddress } from "../../../formats/own/invite.ts";
import { type Advertisement, isTrusted, requireTrust } from "../../../formats/tang/tang.ts";
import { fetchAdvertisement, fetchSuccessorOf, sealToAdvertisement } from "../../../pins/tang/tang.ts";
import type { Terminal } from "../../command.ts";
import type { BindInput } from "./options.ts";
import type { BindPin, BindPlan } from "./plan.ts";

const THUMBPRINT_WORD = "thp=";
const WORD_LENGTH = 2048;

/** The pin tang, as `bind` takes it. */
export const tangEntry: BindPin = {
  name: "tang",
  usage: "URL [thp=THP]",
  needs: 1,
  takes: (word, before) => before.length < 2 && word.startsWith(THUMBPRINT_WORD) === (before.length === 1),
  members: {
    url: (value) => (isText(value, WORD_LENGTH) ? [value] : null),
    thp: (value) => (isText(value, WORD_LENGTH) ? [THUMBPRINT_WORD + value] : null),
  },
  plan: tangPlan,
  wordsOf: ({ urls: [url = ""] }) => [canonicalAddress(url) ?? url],
};

/**
 * With a thumbprint the server is asked at once: even where the volume is bound already, the
 * command says that the server does not sign with that key.
 */
async function tangPlan(
  input: BindInput,
  [address = "", word]: readonly string[],
  former?: Binding,
): Promise<BindPlan> {
  const url = addressOf(address);
  const thumbprint = word?.slice(THUMBPRINT_WORD.length) ?? input.options.thumbprint;
  const fetch = () =>
    former === undefined ? fetchTrusted(input, url, thumbprint) : fetchSuccessor(input, url, former);
  let known = thumbprint === undefined ? null : await fetch();
  return {
    target: url,
    isSameTarget: ({ kind, urls }) => kind !== "sss" && urls.some((one) => isSameAddress(one, url)),
    prepare: async () => {
      // One answer serves all volumes, and a person compares once.
      known ??= await fetch();
      const advertisement = known;
      return {
        target: url,
        seal: async (passphrase) => sealToAdvertisement(input.system, url, advertisement, passphrase),
      };
    },
    finish: async () => {},
  };
}

async function fetchTrusted(
  { system, terminal }: BindInput,
  url: string,
  thumbprint: string | undefined,
): Promise<Advertisement> {
  const limits = { timeoutMs: SERVER_TIMEOUT_MS, signal: terminal.signal };
  const advertisement = await fetchAdvertisement(system, url, limits);
  if (thumbprint === undefined) await askForTrust(terminal, url, advertisement);
  else requireTrust(advertisement, { thumbprint });
  return advertisement;
}

/** What a key vouches for that a binding trusts already; for the rest a person compares. */
async function fetchSuccessor(
  { system, terminal }: BindInput,
  url: string,
  { token }: Binding,
): Promise<Advertisement> {
  const { signingKeys } = parseTangPin(parseClevisPin(readClevis(token)));
  const limits = { timeoutMs: SERVER_TIMEOUT_MS, signal: terminal.signal };
  const advertisement = await fetchSuccessorOf(system, url, signingKeys, limits);
  if (!isTrusted(advertisement, { keys: signingKeys })) await askForTrust(terminal, url, advertisement);
  return advertisement;
}

/** In its one spelling, which goes into the header. */
function addressOf(argument: string): string {
  if (holdsCredentials(argument)) {
    throw new NightlatchError("usage/wrong", "bind: an address with a user or password is not written into a header", {
      meaning: "Whoever has the disk could read it there. Nothing was changed.",
      remedy: "Give the address without it: a tang needs none, since it learns nothing from whoever asks.",
    });
  }
  const url = /^https?:\/\/[^?#\\]+$/i.test(argument) ? canonicalAddress(argument) : null;
  if (url !== null && isBaseAddress(url)) return url;
  throw new NightlatchError(
    "usage/wrong",
    `bind: ${JSON.stringify(argument.slice(0, 80))} is not an address of a server`,
    {
      remedy: "Give it whole, such as http://tang.example.org:7500",
    },
  );
}

/** What cannot be read as an address may hold a password all the same, which no message repeats. */
function holdsCredentials(argument: string): boolean {
  if (!argument.includes("@")) return false;
  if (!URL.canParse(argument)) return true;
  const { username, password } = new URL(argument);
  return username !== "" || password !== "";
}

/** Without a thumbprint that was given, a person compares. */
async function askForTrust(terminal: Terminal, url: string, advertisement: Advertisement): Promise<void> {
  const shown = advertisement.signingKeys.map((key) => thumbprintOf(key));
  if (!terminal.isInteractive) {
    throw new NightlatchError(
      "tang/untrusted",
      `${url} signs as ${shown.join(", ")}, and nobody was asked to trust that`,
      {
        meaning: "Nothing was changed.",
        remedy: "Compare it with what tang-show-keys prints on the server, and pass it with --thumbprint.",
      },
    );
  }
  terminal.hint(`${url} signs as`);
  for (const text of shown) terminal.hint(`  ${text}`);
  terminal.hint("Compare this with what tang-show-keys prints on the server.");
  if (!(await terminal.confirm("Is it the same?"))) {
    throw new NightlatchError("usage/cancelled", "the server was not trusted", { meaning: "Nothing was changed." });
  }
}
