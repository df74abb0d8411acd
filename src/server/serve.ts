import type { Server } from "node:http";
import type { Server as NetServer } from "node:net";
import { traceOf } from "../core/defect.ts";
import { type ErrorCode, NightlatchError } from "../core/errors.ts";
import { identityThumbprint } from "../formats/own/enrolment.ts";
import type { System } from "../system/port.ts";
import { defaultUrl, type ListenAddress } from "./address.ts";
import { type Clock, once } from "./clock.ts";
import { startHousekeeping } from "./housekeeping.ts";
import { Answers } from "./http/answers.ts";
import { createMachineServer } from "./machine-api/server.ts";
import { findOperatorGroup } from "./operator-api/peer.ts";
import { createAdminServer } from "./operator-api/server.ts";
import { listenOnSocket } from "./operator-api/socket.ts";
import { resumePulses, watchPulses } from "./service/alive/alive.ts";
import { resumeSites } from "./service/alive/site-holds.ts";
import { assembleService } from "./service/assemble.ts";
import { resumeDays } from "./service/days.ts";
import type { Service } from "./service/service.ts";
import { openFolder } from "./store/folder/folder.ts";
import type { FolderSystem } from "./store/folder/opening.ts";
import type { MasterSource } from "./store/folder/upgrade.ts";
import { readWebhookKey } from "./webhook/key.ts";
import { WebhookSender } from "./webhook/sender.ts";
import { WitnessAsker } from "./witness/asker.ts";

/** What a server is started with. */
interface ServeOptions {
  /** The data folder. */
  readonly folder: string;
  readonly listen: ListenAddress;
  /** Path of the admin socket. */
  readonly admin: string;
  /** The address that invites carry; from `listen` where it is absent. */
  readonly url?: string;
  /** Takes an older copy of the store into use. */
  readonly acceptRollback?: boolean;
  /** The folder of what systemd has unsealed for this process. */
  readonly credentials?: string | undefined;
  /** Where operators are told of what waits for them, and the file of the key that signs it. */
  readonly webhook?: { readonly url: string; readonly keyPath: string };
  /** A socket that systemd has opened already, in place of `listen`. */
  readonly inheritedFd?: number;
  /** Writes a line to the operator's log. */
  readonly log: (line: string) => void;
}

/** A server that answers. */
interface RunningServer {
  readonly url: string;
  readonly listen: ListenAddress;
  readonly storeId: string;
  readonly masterSource: MasterSource;
  /** Thumbprint of the server's identity. */
  readonly identity: string;
  readonly created: boolean;
  readonly exchange: string;
  readonly warnings: readonly string[];
  /** Answers what has arrived, writes what was counted, and closes the store. */
  stop(): Promise<void>;
}

/**
 * Starts a server. It opens the data folder, and then both doors: the network's and the operators'.
 * Where anything fails, all of it is closed again.
 * @throws NightlatchError store/*, file/*, webhook/key, serve/listen, admin/socket
 */
export async function startServer(
  system: FolderSystem & Service["system"] & Pick<System, "request" | "sleep">,
  options: ServeOptions,
): Promise<RunningServer> {
  const uid = process.geteuid?.() ?? 0;
  const { webhook } = options;
  const key = webhook === undefined ? null : await readWebhookKey(system, webhook.keyPath, uid);
  const opened = await openFolder(system, options.folder, {
    uid,
    acceptRollback: options.acceptRollback ?? false,
    credentials: options.credentials,
  });
  const service = assembleService(system, opened);
  const report = reporter(system, options.log);
  const answers = new Answers(system);
  const machines = createMachineServer(service, answers, report);
  let url = options.url ?? "";
  const owner = { uid, operatorGroup: await findOperatorGroup(system) };
  const admin = createAdminServer(
    { service, answers, masterSource: opened.masterSource, url: () => url },
    owner,
    report,
    () => machines.giveWay(),
  );
  const stopWatch = watchPulses(service, report);
  const target = webhook === undefined || key === null ? null : { url: webhook.url, key, server: opened.storeId };
  const sender = target === null ? null : new WebhookSender(system, target, report);
  if (sender !== null) service.notices.deliverTo((notice) => sender.send(notice));
  const stopHousekeeping = startHousekeeping(service, report);
  const asker = new WitnessAsker(service, system, report);
  const close = async () => {
    await Promise.all([machines.close(GRACE_MS), closeServer(admin, system)]);
    await asker.stop();
    await stopWatch();
    await stopHousekeeping();
    await sender?.stop();
    await service.exchange[Symbol.asyncDispose]();
    await opened.store.close();
  };
  try {
    await resumeSites(service);
    await resumePulses(service);
    await resumeDays(service);
    await listenOnNetwork(machines.net, options);
    const listen = addressOf(machines.net, options.listen);
    url ||= defaultUrl(listen);
    await listenOnSocket(system, admin, options.admin, owner);
    const { storeId, masterSource, created, warnings } = opened;
    const identity = identityThumbprint(opened.identity);
    const exchange = service.exchange.name;
    return { url, listen, storeId, masterSource, identity, created, exchange, warnings, stop: close };
  } catch (error) {
    await close();
    throw error;
  }
}

function listenOnNetwork(server: NetServer, { listen, inheritedFd }: ServeOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(
        new NightlatchError("serve/listen", `cannot listen on ${listen.host} port ${listen.port} (${error.code})`, {
          meaning: "Nothing was started.",
          remedy:
            error.code === "EADDRINUSE"
              ? "Another program has the port: stop it, or give another port with --listen."
              : "Give an address of this machine with --listen.",
        }),
      );
    });
    const backlog = 4096;
    // Without a host Node listens on [::], and on 0.0.0.0 where the kernel has no IPv6.
    const host = listen.host === "::" ? {} : { host: listen.host };
    if (inheritedFd === undefined) server.listen({ port: listen.port, ...host, backlog }, () => resolve());
    else server.listen({ fd: inheritedFd, backlog }, () => resolve());
  });
}

function addressOf(server: NetServer, fallback: ListenAddress): ListenAddress {
  const address = server.address(); // text: a Unix socket that systemd has passed
  return address === null || typeof address === "string" ? fallback : { host: address.address, port: address.port };
}

/**
 * Stops a server. Idle connections are closed; what is being answered is finished or, after a
 * while, cut.
 */
function closeServer(server: Server, clock: Pick<Clock, "sleep">): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) return resolve();
    const force = once(clock, GRACE_MS, () => server.closeAllConnections());
    server.close(() => {
      force[Symbol.dispose]();
      resolve();
    });
    server.closeIdleConnections();
  });
}

const GRACE_MS = 2_000;

/**
 * Writes failures to the log, each code at most once in a while. Strangers can make the server
 * fail, and must not fill the disk with its log.
 */
function reporter(clock: Pick<Clock, "monotonicMs">, log: (line: string) => void): (error: unknown) => void {
  const lastMs = new Map<ErrorCode | "internal", number>();
  return (error) => {
    const code = error instanceof NightlatchError ? error.code : "internal";
    const nowMs = clock.monotonicMs();
    if (nowMs - (lastMs.get(code) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return;
    lastMs.set(code, nowMs);
    if (error instanceof NightlatchError) {
      log([`${error.message} [${code}]`, error.meaning, error.remedy].filter(Boolean).join(" "));
    } else log(`internal error: ${traceOf(error)}`);
  };
}

const QUIET_MS = 10_000;
