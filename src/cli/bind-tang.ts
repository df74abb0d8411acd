import { NightlatchError } from "../core/errors.ts";
import { isBaseAddress } from "../formats/invite.ts";
import { thumbprintOf } from "../formats/jwk.ts";
import { type Advertisement, requireTrust } from "../formats/tang.ts";
import { fetchAdvertisement } from "../pins/tang.ts";
import type { BindPlan } from "./bind-plan.ts";
import type { CommandInput } from "./command.ts";
import { SERVER_DEADLINE_MS } from "./volume-input.ts";

/** Asked before anything else: a server that is not trusted needs no passphrase. */
export async function tangPlan(input: CommandInput, argument: string | undefined): Promise<BindPlan> {
  const { system, terminal } = input;
  const url = addressOf(argument);
  const limits = { deadlineMs: SERVER_DEADLINE_MS, signal: terminal.signal };
  const advertisement = await fetchAdvertisement(system, url, limits);
  await trust(input, url, advertisement);
  return {
    isSameServer: ({ kind, urls }) => kind !== "sss" && urls.includes(url),
    prepare: async () => ({ url, advertisement }),
    finish: async () => {},
  };
}

function addressOf(argument: string | undefined): string {
  if (argument === undefined) throw new NightlatchError("usage/wrong", "bind: tang needs the server's address");
  const url = argument.replace(/\/+$/, "");
  if (isBaseAddress(url)) return url;
  if (URL.canParse(url) && /@/.test(url)) {
    throw new NightlatchError("usage/wrong", "bind: an address with a user or password is not written into a header", {
      meaning: "Whoever has the disk could read it there. Nothing was changed.",
      remedy: "Give the address without it: a tang needs none, since it learns nothing from whoever asks.",
    });
  }
  throw new NightlatchError(
    "usage/wrong",
    `bind: ${JSON.stringify(argument.slice(0, 80))} is not an address of a server`,
    {
      remedy: "Give it whole, such as http://tang.example.org:7500",
    },
  );
}

/** Never silently: a thumbprint that was given, or a person who compares. */
async function trust({ options, terminal }: CommandInput, url: string, advertisement: Advertisement): Promise<void> {
  const thumbprint = options["thumbprint"];
  if (thumbprint !== undefined) return requireTrust(advertisement, { thumbprint });
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
