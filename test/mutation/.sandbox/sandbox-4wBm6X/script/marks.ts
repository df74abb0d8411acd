/** Replaces every mark. @throws Error when the text lacks one */
// @ts-nocheck

export function fillMarks(text: string, values: Readonly<Record<string, string>>): string {
  return Object.entries(values).reduce((filled, [mark, value]) => {
    if (!filled.includes(mark)) throw new Error(`there is no ${JSON.stringify(mark)} to fill in`);
    return filled.replaceAll(mark, () => value);
  }, text);
}
