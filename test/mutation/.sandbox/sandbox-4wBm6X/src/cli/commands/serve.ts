// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { OPERATOR_SOCKET, SERVER_STORE } from "../../core/places.ts";
import { trimEndOf } from "../../core/text.ts";
import { isBaseAddress } from "../../formats/own/invite.ts";
import { parseListenAddress } from "../../server/address.ts";
import { startServer } from "../../server/serve.ts";
import { readPassedSockets } from "../../system/unix/listen-fds.ts";
import { notifyReady } from "../../system/unix/notify.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../command.ts";

const OPTIONS = {
  data: { value: "DIR", help: "folder of the store, its master key and its cells", default: SERVER_STORE },
  listen: { value: "HOST:PORT", help: "address that machines connect to", default: "[::]:7654" },
  admin: { value: "SOCKET", help: "Unix socket that operators connect to", default: OPERATOR_SOCKET },
  url: { value: "URL", help: "address that invites carry (default: from --listen)" },
  webhook: { value: "URL", help: "where to tell of machines that wait for approval; wants --webhook-key" },
  "webhook-key": { value: "FILE", help: "the key that signs what is told there" },
  "accept-rollback": { help: "take an older copy of the store into use, where the latest is lost" },
} as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "serve",
  summary: "run the key server",
  options: OPTIONS,
  details: `The first start makes the store and its keys. A later start on a folder that lost them refuses: new keys would open none of
the machines that the old ones hold; on an older copy of its store too: what was revoked since would be released again. Runs until SIGTERM or SIGINT. A socket that systemd passes is used in the place of --listen.

  nightlatch serve
  nightlatch serve --data /srv/latch --listen 192.168.1.2:7654 --url http://keys.example.org:7654`,
  run,
});

const MASTER = {
  file: "The master key is master.key in the data folder.",
  credential: "The master key is the sealed one, which systemd has unsealed.",
} as const;

async function run({ options, system, terminal }: Input): Promise<ExitStatus> {
  const { data = "", listen = "", admin = "", url } = options;
  const passed = readPassedSockets(process.env, process.pid);
  const server = await startServer(system, {
    folder: withoutSlash(data),
    listen: parseListenAddress(listen),
    admin,
    ...(url === undefined ? {} : { url: requireUrl(url) }),
    ...webhookOf(options.webhook, options["webhook-key"]),
    credentials: process.env["CREDENTIALS_DIRECTORY"],
    acceptRollback: options["accept-rollback"],
    ...(passed === null || passed.count === 0 ? {} : { inheritedFd: passed.first }),
    log: (line) => terminal.hint(`nightlatch: ${line}`),
  });
  for (const warning of server.warnings) terminal.hint(`nightlatch: warning: ${warning}`);
  const { host, port } = server.listen;
  const address = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  if (server.created)
    terminal.line(`Made a new store in ${data}. Back up the whole folder: no part of it is of use without the others.`);
  terminal.line(MASTER[server.masterSource]);
  terminal.line(`Listening on ${address}; invites say ${server.url}. Administration: ${admin}`);
  const { storeId: store, masterSource: master, identity, created, exchange, warnings } = server;
  terminal.result({
    ok: true,
    listen: { host, port },
    url: server.url,
    admin,
    store,
    master,
    identity,
    created,
    exchange,
    warnings,
  });
  notifyReady(process.env);
  if (!terminal.signal.aborted) {
    await new Promise((resolve) => terminal.signal.addEventListener("abort", resolve, { once: true }));
  }
  await server.stop();
  return 0;
}

function withoutSlash(folder: string): string {
  const plain = trimEndOf(folder, "/");
  if (plain.startsWith("/") || (plain !== "" && plain !== "." && !plain.endsWith(".."))) return plain;
  throw new NightlatchError("usage/wrong", `--data ${folder} cannot be a data folder`, {
    remedy: "Give a folder of its own: the server keeps a file beside it.",
  });
}

function webhookOf(url: string | undefined, keyPath: string | undefined) {
  if (url === undefined && keyPath === undefined) return {};
  const parsed = url !== undefined && URL.canParse(url) ? new URL(url) : null;
  const isAddress =
    parsed !== null && /^https?:$/.test(parsed.protocol) && `${parsed.username}${parsed.password}` === "";
  if (isAddress && url !== undefined && keyPath !== undefined) return { webhook: { url, keyPath } };
  throw new NightlatchError("usage/wrong", "--webhook wants an address and a key", {
    remedy: "Give --webhook http://… or https://…, without a user and a password, and --webhook-key FILE.",
  });
}

function requireUrl(url: string): string {
  const plain = trimEndOf(url, "/");
  if (isBaseAddress(plain)) return plain;
  throw new NightlatchError("usage/wrong", `--url ${url} is not the address of a server`, {
    remedy: "Give http:// or https://, a host and, if need be, a port and a path, without a query.",
  });
}
