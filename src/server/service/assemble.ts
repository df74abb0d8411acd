import { FloodTally } from "../audit/floods.ts";
import { RefusalTally } from "../audit/refusals.ts";
import { BatchExchange } from "../exchange/batch.ts";
import { chooseExchange } from "../exchange/choose.ts";
import { chooseExchangeThread } from "../exchange/thread.ts";
import { followedBy, Memory } from "../memory.ts";
import type { OpenedStore } from "../store/folder/folder.ts";
import { Asks } from "./memory/asks.ts";
import { Challenges } from "./memory/challenges.ts";
import { Days } from "./memory/days.ts";
import { Halts } from "./memory/halts.ts";
import { Notices } from "./memory/notices.ts";
import { Paces } from "./memory/paces.ts";
import { Pulses } from "./memory/pulses.ts";
import { Sites } from "./memory/sites.ts";
import { CommitQueue } from "./queue.ts";
import type { Service } from "./service.ts";

/** Makes the service of a store that was just opened. */
export function assembleService(
  system: Service["system"],
  opened: OpenedStore,
  exchange: BatchExchange = new BatchExchange(chooseExchange(), chooseExchangeThread(system)),
): Service {
  const { store, storeId, cells, identity, witnessKey } = opened;
  const memory = new Memory();
  return {
    system,
    store,
    storeId,
    queue: new CommitQueue(followedBy(memory, store), { storeId, key: identity }, system, exchange),
    cells,
    identity,
    witnessKey,
    witnessFailures: new Map(),
    exchange,
    refusals: new RefusalTally(memory),
    paces: new Paces(memory),
    days: new Days(memory),
    asks: new Asks(memory),
    notices: new Notices(),
    floods: new FloodTally(memory),
    halts: new Halts(),
    challenges: new Challenges(system),
    sessionChallenges: new Challenges(system),
    pulses: new Pulses(memory),
    sites: new Sites(memory),
    cameUp: new Map(),
  };
}
