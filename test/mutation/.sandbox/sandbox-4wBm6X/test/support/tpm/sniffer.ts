/** Stands between programs and a software TPM, and keeps every byte that passes, as a bus would. */
// @ts-nocheck

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export interface Sniffer extends AsyncDisposable {
  /** For TPM2TOOLS_TCTI. */
  readonly tcti: string;
  /** Whether these bytes passed, either way. */
  heard(bytes: Uint8Array): boolean;
  /** How many bytes passed. */
  count(): number;
}

/** @param path where it listens; what passes is kept in files beside it */
export async function sniff(chipPath: string, path: string): Promise<Sniffer> {
  const [up, down] = [`${path}.up`, `${path}.down`];
  const keeping = ["-r", up, "-R", down];
  const relays = [
    spawn("socat", [...keeping, `UNIX-LISTEN:${path},fork`, `UNIX-CONNECT:${chipPath}`]),
    spawn("socat", [`UNIX-LISTEN:${path}.ctrl,fork`, `UNIX-CONNECT:${chipPath}.ctrl`]),
  ];
  while (![path, `${path}.ctrl`].every((socket) => existsSync(socket))) await sleep(10);
  const streams = () => [up, down].map((file) => readFileSync(file));
  return {
    tcti: `swtpm:path=${path}`,
    heard: (bytes) => streams().some((stream) => stream.includes(bytes)),
    count: () => streams().reduce((sum, stream) => sum + stream.length, 0),
    [Symbol.asyncDispose]: async () => {
      for (const relay of relays) {
        relay.kill();
        await once(relay, "exit");
      }
    },
  };
}
