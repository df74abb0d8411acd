/** Text for people who read a terminal: lines that fit it, broken between words. */

/** As wide as a line of help is at most: longer ones are hard to read. */
export const MOST_COLUMNS = 100;
/** A terminal that is narrower breaks the lines by itself. */
const FEWEST_COLUMNS = 40;

/** How wide a line may be on a terminal of this width; undefined where it is none. */
export function columnsOf(width: number | undefined): number {
  return Math.max(FEWEST_COLUMNS, Math.min(width ?? MOST_COLUMNS, MOST_COLUMNS));
}

/** One row of a list: a text beside its name, under itself where it takes several lines. */
export function row(name: string, nameColumns: number, text: string, columns: number): string {
  return beside(`  ${name.padEnd(nameColumns)} `, text, columns);
}

/** A text beside what stands before it, under itself where it takes several lines. */
export function beside(prefix: string, text: string, columns: number): string {
  return fill({ prefix, hang: prefix.length, text }, columns);
}

/**
 * Breaks the lines of a text anew. A line goes on with the next one unless it ends a sentence; an
 * indented line is an item, whose further lines are indented deeper.
 */
export function layOut(text: string, columns: number): string {
  const paragraphs: Paragraph[] = [];
  for (const line of text.split("\n")) {
    const last = paragraphs.at(-1);
    const indent = line.length - line.trimStart().length;
    if (last !== undefined && goesOn(last, line, indent)) {
      // Where an item's second line begins is where its name ends.
      if (last.lines === 1 && indent > last.hang) splitAt(last, indent);
      last.text += ` ${line.trim()}`;
      last.lines++;
    } else {
      const prefix = /^ +\S+ {2,}/.exec(line)?.[0] ?? line.slice(0, indent);
      paragraphs.push({ prefix, hang: prefix.length, text: line.slice(prefix.length).trim(), lines: 1 });
    }
  }
  return paragraphs.map((paragraph) => fill(paragraph, columns)).join("\n");
}

interface Filled {
  /** What the first line begins with. */
  readonly prefix: string;
  /** How far the others are indented. */
  readonly hang: number;
  readonly text: string;
}

interface Paragraph extends Filled {
  prefix: string;
  hang: number;
  text: string;
  lines: number;
}

function goesOn(last: Paragraph, line: string, indent: number): boolean {
  if (line === "" || last.text === "") return false;
  const isItem = last.prefix !== "";
  return isItem
    ? indent > last.prefix.length - last.prefix.trimStart().length
    : indent === 0 && !/[.:?!]$/.test(last.text);
}

function splitAt(item: Paragraph, column: number): void {
  const line = `${item.prefix}${item.text}`;
  item.prefix = line.slice(0, column);
  item.text = line.slice(column).trimStart();
  item.hang = column;
}

function fill({ prefix, hang, text }: Filled, columns: number): string {
  const lines: string[] = [];
  let line = prefix;
  let isEmpty = true;
  for (const word of text.split(/ +/)) {
    if (!isEmpty && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = " ".repeat(hang);
      isEmpty = true;
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, line].map((one) => one.trimEnd()).join("\n");
}
