/**
 * Machines that open sessions, in a process of their own: node bench/fleet/sessions.ts, a plan as
 * JSON on stdin, figures on stdout. Each asks for a challenge, signs its request and makes the
 * session's key, as the sender does; `ownCpuMs` is what that costs here.
 */
import { Agent, request } from "node:http";
import { text } from "node:stream/consumers";
import { identityThumbprint } from "../../src/formats/own/enrolment.ts";
import { buildSessionRequest, makeSessionHalf, parseSessionAnswer, sessionKey } from "../../src/formats/own/session.ts";
import { identityOf } from "./plan.ts";

export interface SessionsPlan {
  readonly port: number;
  /** Thumbprint of the server's identity. */
  readonly server: string;
  /** Numbers of machines, from `first` on. */
  readonly first: number;
  readonly count: number;
  readonly connections: number;
}

export interface SessionsFigures {
  readonly opened: number;
  readonly elapsedMs: number;
  readonly ownCpuMs: number;
}

const plan = JSON.parse(await text(process.stdin)) as SessionsPlan;
const agent = new Agent({ keepAlive: true, maxSockets: plan.connections });
const machines = Array.from({ length: plan.count }, (_, index) => {
  const identity = identityOf(plan.first + index);
  return { identity, id: identityThumbprint(identity) };
});
let [next, opened] = [0, 0];
const [startMs, startCpu] = [performance.now(), process.cpuUsage()];
await Promise.all(Array.from({ length: plan.connections }, openAll));
const used = process.cpuUsage(startCpu);
const figures: SessionsFigures = {
  opened,
  elapsedMs: performance.now() - startMs,
  ownCpuMs: (used.user + used.system) / 1000,
};
process.stdout.write(JSON.stringify(figures));
agent.destroy();

async function openAll(): Promise<void> {
  for (let machine = machines[next++]; machine !== undefined; machine = machines[next++]) {
    const path = `/machine/${machine.id}/session`;
    const { challenge } = JSON.parse(String(await ask("GET", path))) as { challenge: string };
    const half = makeSessionHalf();
    const body = buildSessionRequest(machine.identity, { challenge, server: plan.server, key: half.key });
    const answer = await ask("POST", path, body);
    const { key } = parseSessionAnswer(answer, { request: body, serverThumbprint: plan.server });
    sessionKey(half, { peer: key, request: body, answer, machine: machine.id, server: plan.server });
    opened++;
  }
}

function ask(method: "GET" | "POST", path: string, body?: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "content-length": body.length };
    const asked = request({ host: "127.0.0.1", port: plan.port, method, path, agent, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => {
        const answer = Buffer.concat(chunks);
        if (response.statusCode === 200) resolve(answer);
        else reject(new Error(`${response.statusCode} ${answer.toString().slice(0, 200)}`));
      });
    });
    asked.on("error", reject);
    asked.end(body);
  });
}
