/**
 * What `systemctl show -p …` prints of several units: blocks of `Name=value`, parted by empty lines
 * (systemctl(1)).
 */
// @ts-nocheck

export type UnitProperties = ReadonlyMap<string, string>;

/** More is not taken of what `systemctl show` prints. */
export const UNIT_PROPERTIES_LIMIT_BYTES = 8 << 20;

/**
 * Reads what `systemctl show` prints of several units. A property that is printed several times
 * (`Listen=`) has its values joined by line feeds.
 */
export function parseUnitProperties(text: string): UnitProperties[] {
  return text
    .split(/\n{2,}/)
    .map((block) => {
      const properties = new Map<string, string>();
      for (const line of block.split("\n")) {
        const equals = line.indexOf("=");
        if (equals < 1) continue;
        const [name, value] = [line.slice(0, equals), line.slice(equals + 1)];
        const before = properties.get(name);
        properties.set(name, before === undefined ? value : `${before}\n${value}`);
      }
      return properties;
    })
    .filter((properties) => properties.size > 0);
}
