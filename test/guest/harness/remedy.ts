/**
 * What a remedy of `nightlatch check` says, as a person reads it: a line of a file to replace, or a
 * command to run.
 */
export type Step =
  | { readonly file: string; readonly line: number; readonly text: string }
  | { readonly command: string };

/** @throws Error where it is neither: nobody is there to understand it */
export function stepsOf(remedy: string): Step[] {
  return remedy.split("\n").map((step) => {
    const [, line, file, text] = /^line (\d+) of (\S+): (.*)$/.exec(step) ?? [];
    if (line !== undefined && file !== undefined && text !== undefined) return { file, line: Number(line), text };
    if (/^(?:apt-get|update-initramfs|dracut|echo|printf|nightlatch|systemctl|chmod|chown|mkdir|mv) /.test(step)) {
      return { command: step };
    }
    throw new Error(`this takes a person: ${step}`);
  });
}
