import { FloodTally } from "../audit/floods.ts";
import { RefusalTally } from "../audit/refusals.ts";
import { chooseExchange } from "../exchange/choose.ts";
import type { OpenedStore } from "../store/folder.ts";
import { Halts } from "./halts.ts";
import { Paces } from "./paces.ts";
import { CommitQueue } from "./queue.ts";
import type { Service } from "./service.ts";

/** A service on a store that was just opened. */
export function assembleService(system: Service["system"], opened: OpenedStore): Service {
  const { store, storeId, master, identity } = opened;
  return {
    system,
    store,
    storeId,
    queue: new CommitQueue(store, { storeId, key: identity }),
    master,
    identity,
    exchange: chooseExchange(),
    refusals: new RefusalTally(),
    paces: new Paces(),
    floods: new FloodTally(),
    halts: new Halts(),
  };
}
