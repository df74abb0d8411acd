/**
 * Gives the same function, which remembers what it gave for a text.
 * Only for what depends on its text alone, and gives what nobody changes.
 * @param most how many it remembers: when there are more, it begins anew
 */
export function remembered<T>(most: number, read: (text: string) => T): (text: string) => T {
  const known = new Map<string, { readonly value: T }>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found.value;
    const value = read(text);
    if (known.size >= most) known.clear();
    known.set(text, { value });
    return value;
  };
}
