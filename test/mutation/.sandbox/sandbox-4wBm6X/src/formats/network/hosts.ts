/**
 * Lists the first fields, which should be addresses, of a name in /etc/hosts (hosts(5)), in the
 * file's order. Names are compared without regard to case. Every line that has the name counts, as
 * getaddrinfo(3) of glibc has it.
 */
// @ts-nocheck

export function addressesInHosts(text: string, name: string): string[] {
  const wanted = name.toLowerCase();
  const found = text.split("\n").flatMap((line) => {
    const [address = "", ...names] = line.replace(/#.*$/, "").trim().split(/\s+/);
    return names.some((other) => other.toLowerCase() === wanted) ? [address] : [];
  });
  return [...new Set(found)];
}

/**
 * Whether nsswitch.conf(5) has /etc/hosts asked before anything else, and takes what is found
 * there: `hosts: files …` without an action of its own behind it.
 */
export function asksHostsFileFirst(text: string): boolean {
  const lines = text.split("\n").flatMap((line) => /^\s*hosts\s*:(.*)$/.exec(line.replace(/#.*$/, ""))?.[1] ?? []);
  return lines.length === 1 && /^\s*files(?:\s+[^[\s]|\s*$)/.test(lines[0] ?? "");
}

/**
 * Reads what `getent ahosts NAME` prints (getent(1)): a line for each address and socket type, in
 * the order in which they should be tried.
 */
export function parseAhosts(text: string): string[] {
  return [
    ...new Set(
      text
        .split("\n")
        .flatMap((line) => line.split(/\s+/, 1))
        .filter((address) => address !== ""),
    ),
  ];
}
