import type { Answers } from "../http/answers.ts";
import type { Limits } from "../http/limits.ts";
import { type Application, StrangerServer } from "../http/server.ts";
import type { Service } from "../service/service.ts";
import { planFor } from "./perform.ts";

/**
 * Makes the server that machines speak to.
 * @param answers keeps track of answers on their way out; operators' changes wait for them
 * @param report is told of every failure and defect
 * @param limits in place of those that the process gives
 */
export function createMachineServer(
  service: Service,
  answers: Answers,
  report: (error: unknown) => void,
  limits: Partial<Limits> = {},
): StrangerServer {
  const application: Application = {
    expect: () => service.queue.expect(),
    judge: (head) => planFor(service, head, report),
  };
  const server = new StrangerServer(application, answers, service.system, limits);
  service.exchange.askPressed(() => server.isPressed);
  return server;
}
