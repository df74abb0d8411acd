/**
 * The server of bench/fleet.ts, in a process of its own: node bench/fleet/server.ts FOLDER. It is
 * what `nightlatch serve` runs, but for the operators' door, and with a session put in place for
 * each machine. Lines of JSON on stdout say what it costs; an end of standard input ends it.
 */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { startHousekeeping } from "../../src/server/housekeeping.ts";
import { Answers } from "../../src/server/http/answers.ts";
import { createMachineServer } from "../../src/server/machine-api/server.ts";
import { resumePulses, watchPulses } from "../../src/server/service/alive/alive.ts";
import { resumeSites } from "../../src/server/service/alive/site-holds.ts";
import { assembleService } from "../../src/server/service/assemble.ts";
import { resumeDays } from "../../src/server/service/days.ts";
import { openFolder } from "../../src/server/store/folder/folder.ts";
import { nodeSystem } from "../../src/system/node.ts";
import { sessionKeyOf, TAG } from "./plan.ts";

const [folder = ""] = process.argv.slice(2);
const fail = (error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
};
const [startMs, startCpu] = [performance.now(), process.cpuUsage()];
const opened = await openFolder(nodeSystem, folder, { uid: process.geteuid?.() ?? 0 });
const service = assembleService(nodeSystem, opened);
await resumeSites(service);
await resumePulses(service);
await resumeDays(service);
const server = createMachineServer(service, new Answers(nodeSystem), fail);
server.net.listen({ port: 0, host: "127.0.0.1", backlog: 4096 });
await once(server.net, "listening");
const used = process.cpuUsage(startCpu);
const started = { startMs: performance.now() - startMs, startCpuMs: (used.user + used.system) / 1000 };
const { pulses } = service;
for (let number = 0; number < pulses.size; number++)
  pulses.open(number, pulses.nameSession(number, TAG), sessionKeyOf(number), "127.0.0.1");
const stopWatch = watchPulses(service, fail);
const stopHousekeeping = startHousekeeping(service, fail);
const { port } = server.net.address() as AddressInfo;
process.stdout.write(`${JSON.stringify({ port, machines: pulses.size, ...started })}\n`);
process.stdin.resume();
await once(process.stdin, "end");
await server.close(1000);
await stopWatch();
await stopHousekeeping();
await service.exchange[Symbol.asyncDispose]();
await opened.store.close();
