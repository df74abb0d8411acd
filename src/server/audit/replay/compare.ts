/**
 * What differs between rows that ought to be and those that are found, a sentence each.
 * @param kind of the rows, for the sentences
 * @param members that are compared
 */
export function* compare<T extends { readonly id: string }>(
  kind: string,
  expected: ReadonlyMap<string, T>,
  found: Iterable<T>,
  members: readonly (keyof T & string)[],
): Generator<string> {
  const missing = new Set(expected.keys());
  for (const row of found) {
    const should = expected.get(row.id);
    missing.delete(row.id);
    if (should === undefined) yield `the ${kind} ${row.id} is in the store, but the log does not know it`;
    else {
      for (const member of members) {
        if (row[member] === should[member]) continue;
        yield `the ${member} of ${kind} ${row.id} is ${String(row[member])} in the store, ${String(should[member])} by the log`;
      }
    }
  }
  for (const id of missing) yield `the ${kind} ${id} is in the log, but the store has lost it`;
}
