/**
 * A page of docs/guide/ as its test follows it: the commands of its blocks, in their order. A test
 * names each as it runs it, so that neither can leave out or change what the other has.
 */
// @ts-nocheck

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = join(import.meta.dirname, "../../../docs/guide");

/** A command of a page: `nas# nightlatch check    # what it is for`. */
export interface Step {
  /** Whose prompt it stands behind. */
  readonly host: string;
  readonly command: string;
}

/** Gives the commands of a page's blocks, without the remarks behind two blanks and a `#`. */
export function stepsOf(markdown: string): Step[] {
  const blocks = [...markdown.matchAll(/^```\n([\s\S]*?)^```$/gm)].map(([, text = ""]) => text);
  return blocks.flatMap((text) =>
    text.split("\n").flatMap((line) => {
      const [, host, command] = /^([a-z][a-z0-9-]*)# (.*?)(?:\s{2,}# .*)?$/.exec(line) ?? [];
      return host === undefined || command === undefined ? [] : [{ host, command }];
    }),
  );
}

/** Where a page's commands are run. */
export interface Follower<Wish, Seen> {
  readonly name: string;
  run(command: string, wish: Wish): Promise<Seen>;
}

/** A page that is being followed. */
export class Guide {
  readonly #name: string;
  readonly #left: Step[];

  constructor(name: string) {
    this.#name = `docs/guide/${name}.md`;
    this.#left = stepsOf(readFileSync(join(FOLDER, `${name}.md`), "utf8"));
    assert.ok(this.#left.length > 0, `${this.#name} has no commands`);
  }

  /** Runs the page's next command, which is this one, with its words in capitals filled in. */
  async run<Wish, Seen>(
    host: Follower<Wish, Seen>,
    command: string,
    wish: Wish,
    words: Readonly<Record<string, string>> = {},
  ): Promise<Seen> {
    const next = this.#left.shift();
    assert.deepEqual({ host: host.name, command }, next, `the next command of ${this.#name}`);
    const filled = Object.entries(words).reduce((text, [word, value]) => text.replaceAll(word, value), command);
    return await host.run(filled, wish);
  }

  /** The page has no command more. */
  finish(): void {
    assert.deepEqual(this.#left, [], `commands of ${this.#name} that were not run`);
  }
}
