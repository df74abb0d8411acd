/**
 * A name server that answers for some names and is silent for all others; and programs that have it
 * in their resolv.conf.
 */
// @ts-nocheck

import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const HEADER_BYTES = 12;
const TYPE_A = 1;

export interface NameServer extends AsyncDisposable {
  /** Runs what follows it where names are asked for here, and nowhere else. */
  readonly through: readonly [string, ...string[]];
  /** How often a name was asked for. */
  asked(name: string): number;
}

/** What hinders it; false: nothing. */
export const noNameServer: string | false =
  spawnSync("unshare", ["-m", "mount", "--bind", "/etc/hosts", "/etc/hosts"]).status === 0
    ? false
    : "no mount namespace of its own can be made here";

/**
 * @param address of 127.0.0.0/8, of this test alone: port 53 there is taken
 * @param answers names, and the IPv4 address of each
 */
export async function startNameServer(
  folder: string,
  address: string,
  answers: Readonly<Record<string, string>>,
): Promise<NameServer> {
  const counts = new Map<string, number>();
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    const { name, type, endOffset } = questionOf(query);
    counts.set(name, (counts.get(name) ?? 0) + 1);
    const found = answers[name];
    if (found === undefined) return;
    const bytes = Buffer.from(query.subarray(0, endOffset));
    bytes.writeUInt16BE(0x8180, 2); // an answer, recursion available, no error
    bytes.writeUInt16BE(type === TYPE_A ? 1 : 0, 6);
    bytes.writeUInt32BE(0, 8);
    const record = Buffer.from([
      0xc0,
      HEADER_BYTES,
      0,
      TYPE_A,
      0,
      1,
      0,
      0,
      0,
      60,
      0,
      4,
      ...found.split(".").map(Number),
    ]);
    socket.send(type === TYPE_A ? Buffer.concat([bytes, record]) : bytes, from.port, from.address);
  });
  socket.bind(53, address);
  await once(socket, "listening");
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  // Much longer than the tests take: what is silent stays so.
  const resolv = file("resolv.conf", `nameserver ${address}\noptions timeout:30 attempts:5\n`);
  const nsswitch = file("nsswitch.conf", "hosts: files dns\n");
  const hosts = file("hosts", "127.0.0.1 localhost\n");
  const script =
    `mount --bind ${resolv} /etc/resolv.conf && mount --bind ${nsswitch} /etc/nsswitch.conf && ` +
    `mount --bind ${hosts} /etc/hosts && exec "$@"`;
  return {
    through: ["unshare", "-m", "sh", "-c", script, "sh"],
    asked: (name) => counts.get(name) ?? 0,
    [Symbol.asyncDispose]: async () => {
      socket.close();
      await once(socket, "close");
    },
  };
}

function questionOf(query: Buffer): { readonly name: string; readonly type: number; readonly endOffset: number } {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (let length = query[at] ?? 0; length !== 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join("."), type: query.readUInt16BE(at + 1), endOffset: at + 5 };
}
