import { keepNodes } from "../../audit/nodes.ts";
import type { Service } from "../service.ts";

/** How many subtrees are kept in one transaction: 4 096 entries are hashed in some milliseconds. */
const PAGE = 16;

/**
 * Keeps the subtrees of the log's tree that have become full, in short transactions. A release pays
 * nothing for them: they are made of the log afterwards. The first time on a store of an older
 * version it reads the whole log.
 * @throws NightlatchError store/*
 */
export async function keepLogNodes({ store }: Pick<Service, "store">): Promise<void> {
  while (!(await store.transact((transaction) => keepNodes(transaction, PAGE)))) await nextTurn();
}

/** What waits is released in between. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
