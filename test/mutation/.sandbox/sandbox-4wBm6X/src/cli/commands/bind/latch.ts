// @ts-nocheck
import { asksServer, type Binding } from "../../../bindings/binding.ts";
import { readClevis, SERVER_TIMEOUT_MS } from "../../../bindings/recovery.ts";
import { NightlatchError } from "../../../core/errors.ts";
import type { AttemptLimits } from "../../../core/limits.ts";
import { parseClevisPin } from "../../../formats/clevis/clevis.ts";
import { parseTangPin } from "../../../formats/clevis/tang.ts";
import { thumbprintOf } from "../../../formats/jose/jwk.ts";
import { isText } from "../../../formats/json/narrow.ts";
import { isSameAddress, serverOf } from "../../../formats/network/server-address.ts";
import { type Invite, parseInvite } from "../../../formats/own/invite.ts";
import { isTrusted } from "../../../formats/tang/tang.ts";
import { anotherLatch, enrolMachine } from "../../../pins/latch/enrol.ts";
import { type EnrolledServer, forgetNonce, listServers } from "../../../pins/latch/machine.ts";
import { fetchSuccessorOf, sealToAdvertisement } from "../../../pins/tang/tang.ts";
import { isStandardInput, stateFolderOf } from "../../volume/input.ts";
import type { BindInput } from "./options.ts";
import type { BindPin, BindPlan } from "./plan.ts";

const INVITE_BYTES = 4096;
const SERVER_WORD = "server=";

/** The pin latch, as `bind` takes it. */
export const latchEntry: BindPin = {
  name: "latch",
  usage: "[INVITE | server=URL]",
  needs: 0,
  // An invite is longer: what is short is a slip, and told as one.
  takes: (word, before) => before.length === 0 && !/^[a-z0-9]{1,16}$/.test(word),
  members: {
    invite: (value) => (isText(value, INVITE_BYTES) ? [value] : null),
    server: (value) => (isText(value, INVITE_BYTES) ? [SERVER_WORD + value] : null),
  },
  plan: latchPlan,
  wordsOf: ({ urls: [url = ""] }) => [SERVER_WORD + (serverOf(url) ?? url)],
};

/**
 * With an invite the machine is enrolled first. Without one its server is asked for another latch;
 * where an operator has rotated the one that there is, for its next keys.
 */
async function latchPlan(input: BindInput, words: readonly string[], former?: Binding): Promise<BindPlan> {
  const { options, system, terminal } = input;
  const [argument] = words;
  const named = argument?.startsWith(SERVER_WORD) === true ? argument.slice(SERVER_WORD.length) : null;
  const invite = argument === undefined || named !== null ? null : await readInvite(input, argument);
  const servers = invite === null ? await chooseServers(input, named ?? options.server) : [];
  const bases = invite === null ? servers.map((server) => server.url) : [invite.url];
  const stateFolder = stateFolderOf(options.state);
  const limits = { timeoutMs: SERVER_TIMEOUT_MS, signal: terminal.signal };
  return {
    target: bases.join(", "),
    isSameTarget: (binding) => binding.kind === "latch" && bases.some((base) => asksServer(binding, base)),
    async prepare({ uuid }) {
      const successor = former === undefined ? null : await fetchNextKeys(system, former, limits);
      if (successor !== null) {
        const { url, advertisement } = successor;
        return { target: url, seal: async (passphrase) => sealToAdvertisement(system, url, advertisement, passphrase) };
      }
      const [only, ...others] = servers;
      const server = only === undefined || others.length > 0 ? {} : { server: only.thumbprint };
      const latch =
        invite === null
          ? await anotherLatch(system, stateFolder, { volume: uuid, ...server }, limits)
          : await enrolMachine(system, stateFolder, invite, uuid, limits);
      terminal.hint(`The server made a latch for this volume; it knows this machine as ${latch.name}.`);
      const { latchUrl: url, advertisement } = latch;
      return { target: url, seal: async (passphrase) => sealToAdvertisement(system, url, advertisement, passphrase) };
    },
    finish: ({ uuid }) => forgetNonce(system, stateFolder, uuid),
    end: () => invite?.key.wipe(),
  };
}

/**
 * What the latch of a binding advertises now, where that is another key than the binding's and one
 * that the binding trusts vouches for it; else null.
 */
async function fetchNextKeys(system: BindInput["system"], former: Binding, limits: AttemptLimits) {
  const { url, exchangeKey, signingKeys } = parseTangPin(parseClevisPin(readClevis(former.token)));
  const advertisement = await fetchSuccessorOf(system, url, signingKeys, limits);
  const [next] = advertisement.exchangeKeys;
  const isNext = thumbprintOf(next) !== thumbprintOf(exchangeKey);
  return isNext && isTrusted(advertisement, { keys: signingKeys }) ? { url, advertisement } : null;
}

async function readInvite({ options, terminal }: BindInput, argument: string): Promise<Invite> {
  if (argument !== "-") return parseInvite(argument);
  const other = isStandardInput(options["key-file"]) ? "the passphrase" : "the configuration";
  if (isStandardInput(options["key-file"]) || isStandardInput(options.config)) {
    throw new NightlatchError("usage/wrong", `bind: standard input cannot be both the invite and ${other}`);
  }
  using line = await terminal.readInput(INVITE_BYTES);
  return parseInvite(line.reveal().toString("latin1"));
}

async function chooseServers(
  { options, system }: BindInput,
  wanted: string | undefined,
): Promise<readonly EnrolledServer[]> {
  const servers = await listServers(system, stateFolderOf(options.state));
  if (wanted === undefined) return servers;
  const chosen = servers.filter((server) => isSameAddress(server.url, wanted));
  if (chosen.length > 0) return chosen;
  throw new NightlatchError("usage/wrong", `bind: this machine is not enrolled at ${wanted}`, {
    remedy: servers.length === 0 ? "It is enrolled nowhere." : `It is at ${servers.map(({ url }) => url).join(", ")}.`,
  });
}
