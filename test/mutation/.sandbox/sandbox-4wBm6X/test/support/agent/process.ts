/** The agent that the package ships, as a process of its own, as a boot has it. */
// @ts-nocheck

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer, request } from "node:http";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { fetchKey } from "../../../script/key-client.ts";
import { shippedAgent } from "./shipped.ts";

export interface AgentProcess extends AsyncDisposable {
  readonly process: ChildProcess;
  readonly socket: string;
  /** What it has said so far. */
  log(): string;
  /** Waits for a line of the log. */
  said(pattern: RegExp): Promise<void>;
  ask(volume: string): Promise<Buffer>;
  /** The exit status, once it has ended by itself or otherwise. */
  readonly ended: Promise<number | null>;
  /** Ends it as systemd does; the exit status. */
  stop(): Promise<number | null>;
}

export interface AgentOptions {
  readonly folder: string;
  /** More arguments. */
  readonly args?: readonly string[];
  /** Started at the first connection, by systemd's own activator. */
  readonly activated?: boolean;
  /** What to run it through, such as `unshare -m`. */
  readonly through?: readonly string[];
}

/** Writes the folder's crypttab, each volume with its device, and its agent.toml. */
export function configureAgent(folder: string, volumes: Readonly<Record<string, string>>, config = ""): void {
  const lines = Object.entries(volumes).map(([volume, device]) => `${volume} ${device} /run/x.sock luks,_netdev\n`);
  writeFileSync(join(folder, "crypttab"), lines.join(""));
  writeFileSync(join(folder, "agent.toml"), config);
}

/** `crypttab` and `agent.toml` are those in the folder. */
export async function startAgent({
  folder,
  args = [],
  activated = false,
  through = [],
}: AgentOptions): Promise<AgentProcess> {
  const socket = join(folder, "run", `agent-${sequence++}.sock`);
  const agent = [
    ...through,
    ...shippedAgent(),
    ...["--crypttab", join(folder, "crypttab")],
    ...["--config", join(folder, "agent.toml")],
    ...["--state", join(folder, "state")],
    ...args,
  ];
  const argv = activated
    ? ["systemd-socket-activate", "-E", `PATH=${process.env["PATH"]}`, "-l", socket, ...agent]
    : [...agent, "--socket", socket];
  const child = spawn(argv[0] ?? "", argv.slice(1), { stdio: ["ignore", "inherit", "pipe"] });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    log += text;
  });
  const ended = once(child, "exit").then(([status]) => status as number | null);
  const until = async (condition: () => boolean, what: string) => {
    while (!condition()) {
      if (child.exitCode !== null) throw new Error(`the agent ended before ${what}: ${log}`);
      await new Promise((wake) => setTimeout(wake, 10));
    }
  };
  const stop = async () => {
    if (child.exitCode === null) child.kill("SIGTERM");
    return ended;
  };
  // Between its bind(2) and its listen(2) the activator would refuse a connection; the agent's own
  // socket is there once it listens.
  await until(() => (activated ? log.includes("Listening on") : existsSync(socket)), "it listened");
  return {
    process: child,
    socket,
    log: () => log,
    ended,
    said: (pattern) => until(() => pattern.test(log), `it said ${pattern}`),
    ask: (volume) => fetchKey({ socket, volume }),
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop();
    },
  };
}

let sequence = 0;

/**
 * A door to a server that can be shut and opened again at the same address: shut, connections are
 * refused.
 */
export interface Door extends AsyncDisposable {
  readonly url: string;
  open(): Promise<void>;
  shut(): Promise<void>;
}

/** @param target where connections go; null: they are accepted and never answered */
export async function makeDoor(target: string | null): Promise<Door> {
  const sockets = new Set<Socket>();
  const make = () =>
    createServer((client) => {
      sockets.add(client);
      client.on("error", () => client.destroy()).on("close", () => sockets.delete(client));
      if (target === null) return;
      const { hostname, port } = new URL(target);
      const onward = connect(Number(port), hostname);
      onward.on("error", () => client.destroy()).on("close", () => client.destroy());
      client.on("close", () => onward.destroy());
      client.pipe(onward).pipe(client);
    });
  let server: Server | null = null;
  let port = 0;
  const door: Door = {
    get url() {
      return `http://127.0.0.1:${port}`;
    },
    open: async () => {
      const opening = make();
      await new Promise<void>((done) => opening.listen(port, "127.0.0.1", done));
      const address = opening.address();
      port = typeof address === "object" && address !== null ? address.port : port;
      server = opening;
    },
    shut: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => (server === null ? done(null) : server.close(done)));
      server = null;
    },
    [Symbol.asyncDispose]: () => door.shut(),
  };
  await door.open();
  return door;
}

/** A stranger in a key server's place, which gives way to it after some answers. */
export interface Answering extends AsyncDisposable {
  readonly url: string;
  /** How often it was asked. */
  asked(): number;
}

/** @param then after so many answers requests are passed on to `target` */
export async function answering(
  [status, body]: readonly [number, string],
  then: { readonly after: number; readonly target: string } | null = null,
): Promise<Answering> {
  let asked = 0;
  const server = createHttpServer((incoming, response) => {
    asked++;
    if (then === null || asked <= then.after) {
      incoming.resume();
      response.writeHead(status, { "content-length": Buffer.byteLength(body), connection: "close" }).end(body);
      return;
    }
    const { method = "", url = "", headers } = incoming;
    const onward = request(`${then.target}${url}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    incoming.pipe(onward);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
    asked: () => asked,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
