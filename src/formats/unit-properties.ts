/** What `systemctl show` prints of one unit: a property a line, `Name=value` (systemctl(1)). */
export type UnitProperties = ReadonlyMap<string, string>;

/** Units are parted by an empty line. A property that stands more than once (`Listen`) is joined by line feeds. */
export function parseUnitProperties(text: string): UnitProperties[] {
  return text
    .split(/\n\n+/)
    .map((block) => {
      const properties = new Map<string, string>();
      for (const line of block.split("\n")) {
        const equals = line.indexOf("=");
        if (equals <= 0) continue;
        const name = line.slice(0, equals);
        const earlier = properties.get(name);
        const value = line.slice(equals + 1);
        properties.set(name, earlier === undefined ? value : `${earlier}\n${value}`);
      }
      return properties;
    })
    .filter((properties) => properties.size > 0);
}

/** A property that is a list of units. */
export function unitList(properties: UnitProperties, name: string): string[] {
  return (properties.get(name) ?? "").split(/\s+/).filter((unit) => unit !== "");
}

/** An ordering cycle, and the job that systemd gives up because of it. */
export interface OrderingCycle {
  /** Units in the order in which they wait for each other. */
  readonly units: readonly string[];
  readonly deleted: string | null;
}

/** What `systemd-analyze verify` says about cycles (systemd's transaction.c); everything else that it says is none of ours. */
export function parseOrderingCycles(text: string): OrderingCycle[] {
  const cycles: { units: string[]; deleted: string | null }[] = [];
  for (const line of text.split("\n")) {
    const found = /Found ordering cycle(?: on |: )(.+)$/.exec(line)?.[1];
    const further = /Found dependency on (\S+)$/.exec(line)?.[1];
    const deleted = /Job (\S+) deleted to break ordering cycle/.exec(line)?.[1];
    const cycle = cycles.at(-1);
    if (found !== undefined) cycles.push({ units: found.split(/ (?:after|before) /).map(unitOf), deleted: null });
    else if (further !== undefined) cycle?.units.push(unitOf(further));
    else if (deleted !== undefined && cycle !== undefined) cycle.deleted = unitOf(deleted);
  }
  return cycles;
}

/** `name/start` is a job. */
function unitOf(job: string): string {
  return job.replace(/\/[a-z-]+(?: .*)?$/, "");
}
