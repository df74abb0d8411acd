/**
 * Makes what lets one work begin once the one before it has ended, however that ended. What a work
 * throws goes to whoever asked for it.
 */
// @ts-nocheck

export function inTurns(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work, work);
    last = mine;
    mine.catch(() => {}); // whoever asked for it gets it
    return mine;
  };
}
