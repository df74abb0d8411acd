// @ts-nocheck
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: GRUB writes its variables so
import type { GrubInput } from "./grub-emu.ts";

/** Makes GRUB scripts, environments and files beside them by chance: the same for the same seed. */
export function randomGrub(seed: number): GrubInput {
  return new Writer(seed).input();
}

const NAMES = ["a", "b", "c", "d_1"] as const;
const PLAIN = [
  "1",
  "2",
  "3",
  "x",
  "xy",
  "vmlinuz-6.12",
  "0x10",
  "010",
  "08",
  "-1",
  "99999999999999999999",
  "x>y",
  "a=b",
  "-f",
  "]",
];
const SPACED = ["a b", " a", "b ", "  ", "", "x  y z", "*", "a?", "back\\slash", "do", "$a", "it's"];

class Writer {
  #state: number;
  #functions: string[] = [];
  #loops = 0;
  #entries = 0;
  /**
   * Whether a number that is none may be compared: GRUB waits ten seconds after an error in a
   * submenu.
   */
  #isQuiet = false;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  input(): GrubInput {
    const files = new Map([["custom.cfg", this.#lines(3, (depth) => this.#statement(depth, false)).join("\n")]]);
    const other = [this.#statement(2, true), this.#entry(), this.#submenu(1), `set default=${this.#choice()}`];
    files.set("other.cfg", `set timeout=0\n${other.join("\n")}\n`);
    if (this.#chance(0.5)) files.set("other.env", this.#environment().toString());
    return { config: this.#config(), grubenv: this.#chance(0.9) ? this.#environment() : null, files };
  }

  #config(): string {
    const parts = ["set timeout=0", `menuentry first --id first {\n${this.#ending("first")}}`];
    if (this.#chance(0.5)) parts.push("if [ -s $prefix/grubenv ]; then\n load_env\nfi");
    for (let left = 2 + this.#below(8); left > 0; left--) parts.push(this.#topLevel());
    for (let left = 1 + this.#below(4); left > 0; left--) {
      parts.push(this.#chance(0.35) ? this.#submenu(2) : this.#entry());
      if (this.#chance(0.3)) parts.push(this.#topLevel());
    }
    if (this.#chance(0.8)) parts.push(`set default=${this.#choice()}`);
    if (this.#chance(0.1)) parts.push(`configfile $prefix/${this.#pick(["other.cfg", "none.cfg"])}`);
    return `${parts.join("\n")}\n`;
  }

  #topLevel(): string {
    const kind = this.#below(12);
    if (kind === 0) return this.#function();
    if (kind === 1)
      return `load_env ${this.#pick(["", "a", "a b", "-s", "--skip-sig c", "--file $prefix/other.env", "-f ${prefix}/other.env a", "-f $prefix/none", "--bad", "next_entry"])}`;
    if (kind === 2) return `save_env ${this.#pick(["a", "a b", "c", "", "next_entry"])}`;
    if (kind === 3)
      return `${this.#pick(["source", "."])} ${this.#pick(["$prefix/custom.cfg", "${config_directory}/custom.cfg", "$prefix/none.cfg", "$prefix/custom.cfg x"])}`;
    if (kind === 4 && this.#chance(0.3)) return this.#error();
    if (kind === 5) return this.#nextEntry();
    return this.#statement(3, true);
  }

  #nextEntry(): string {
    return [
      'if [ "${next_entry}" ] ; then',
      '   set default="${next_entry}"\n   set next_entry=\n   save_env next_entry\n   set boot_once=true',
      'else\n   set default="${saved_entry}"\nfi',
    ].join("\n");
  }

  /** What GRUB does not understand: it leaves it out, and goes on. */
  #error(): string {
    const pieces = [
      "a=1",
      "}",
      "{",
      "fi",
      "then",
      ";;",
      "|",
      "set b=2",
      ";",
      "if true; then",
      "\n",
      "x=$",
      "echo",
      "[[",
      'c="$-"',
      "done",
      "&&",
    ];
    return Array.from({ length: 1 + this.#below(6) }, () => this.#pick(pieces)).join(" ");
  }

  #function(): string {
    const name = `f${this.#functions.length}`;
    const body = this.#lines(2, (depth) => this.#statement(depth, true, true)).join("\n ");
    this.#functions.push(name);
    return `function ${name} {\n ${body}\n}`;
  }

  #lines(depth: number, line: (depth: number) => string): string[] {
    return Array.from({ length: 1 + this.#below(4) }, () => line(depth));
  }

  #statement(depth: number, callsAll: boolean, inFunction = false): string {
    const kind = this.#below(depth > 0 ? 20 : 12);
    const inner = () =>
      this.#lines(depth - 1, (less) => this.#statement(less, callsAll, inFunction)).join(this.#separator());
    switch (kind) {
      case 0:
        return `unset ${this.#name()}`;
      case 1:
        return `export ${this.#name()}`;
      case 2:
        return this.#condition();
      case 3:
        return this.#flow(inFunction);
      case 4:
        return callsAll && this.#functions.length > 0 ? `${this.#pick(this.#functions)} ${this.#words()}` : "true";
      case 5:
        return `eval ${this.#pick([`set ${this.#name()}=${this.#word()}`, `"set ${this.#name()}=\\$${this.#name()}"`, `'${this.#name()}=1; ${this.#name()}="x $b"'`, this.#words()].slice(0, 3))}`;
      case 6:
        return this.#regexp();
      case 7:
        return `setparams ${this.#words()}`;
      case 12:
      case 13:
      case 14:
        return this.#if(inner);
      case 15:
      case 16:
        return `for ${this.#name()} in ${this.#words()}; do\n${inner()}\ndone`;
      case 17:
      case 18:
        return this.#while(inner);
      default:
        return `${this.#chance(0.7) ? "set " : ""}${this.#name()}=${this.#word()}`;
    }
  }

  #separator(): string {
    return this.#pick(["\n", "\n\n", "; ", ";\n", " # remark\n"]);
  }

  #if(inner: () => string): string {
    const middle = this.#chance(0.3) ? `elif ${this.#condition()}; then\n${inner()}\n` : "";
    const otherwise = this.#chance(0.5) ? `else\n${inner()}\n` : "";
    return `if ${this.#condition()}; then\n${inner()}\n${middle}${otherwise}fi`;
  }

  #while(inner: () => string): string {
    const counter = `w${this.#loops++}`;
    const [word, operator] = this.#chance(0.5) ? ["while", "!="] : ["until", "="];
    return `${counter}=\n${word} [ x$${counter} ${operator} xiii ]; do\n${counter}=i$${counter}\n${inner()}\ndone`;
  }

  #flow(inFunction: boolean): string {
    const number = this.#pick(["", "", " 1", " 2", " 0", " x", " 3", " 1 1", " $a"]);
    return this.#pick([
      `break${number}`,
      `continue${number}`,
      `shift${number}`,
      inFunction ? `return${number}` : `shift${number}`,
    ]);
  }

  #condition(): string {
    const negation = this.#chance(0.2) ? "! " : "";
    const kind = this.#below(6);
    if (kind === 0) return negation + this.#pick(["true", "false"]);
    if (kind === 1) return negation + this.#regexp();
    return this.#chance(0.7) ? `${negation}[ ${this.#test(2)} ]` : `${negation}test ${this.#test(2)}`;
  }

  #test(depth: number): string {
    const texts = ["=", "==", "!=", '"<"', "'<='", '">"', ">=".replace(">", "\\>")];
    const numbers = ["-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-pgt", "-plt"];
    const file = () => this.#pick(["$prefix/grubenv", "$prefix/custom.cfg", "$prefix/none", "$prefix"]);
    switch (this.#below(depth > 0 ? 9 : 5)) {
      case 0:
        return `${this.#word()} ${this.#pick(texts)} ${this.#word()}`;
      case 1:
        return this.#isQuiet ? `-n "$a"` : `${this.#word()} ${this.#pick(numbers)} ${this.#word()}`;
      case 2:
        return `${this.#pick(["-n", "-z"])} ${this.#word()}`;
      case 3:
        return `${this.#pick(["-e", "-f", "-d", "-s"])} ${file()}`;
      case 4:
        return this.#word();
      case 5:
        return `${this.#test(depth - 1)} ${this.#pick(["-a", "-o", ""])} ${this.#test(depth - 1)}`;
      case 6:
        return `! ${this.#test(depth - 1)}`;
      case 7:
        return `( ${this.#test(depth - 1)} ${this.#chance(0.9) ? ")" : ""}`;
      default:
        return `${this.#test(depth - 1)} -o ${this.#test(depth - 1)}`;
    }
  }

  #regexp(): string {
    const set = this.#chance(0.6)
      ? this.#pick(["--set=1:a", "--set b", "-s 2:c", "--set=0:a", "--set=3:a -s 1:b", "--set=x:a"])
      : "";
    const piece = (depth: number): string =>
      this.#pick([
        ...["a", "b", "1", ".", "[0-9]", "[^a]", "[[:alpha:]]", "x", "-", "\\.", "^", "$"],
        ...(depth > 0 ? [`(${pieces(depth - 1)})`, `(${pieces(depth - 1)}|${pieces(depth - 1)})`] : []),
      ]) + this.#pick(["", "", "", "*", "+", "?", "{1,2}", "{2}", "{,1}"]);
    const pieces = (depth: number): string => Array.from({ length: 1 + this.#below(4) }, () => piece(depth)).join("");
    const text = this.#chance(0.5)
      ? `"$${this.#name()}"`
      : `'${Array.from({ length: this.#below(8) }, () => this.#pick(["a", "b", "1", "x", "-", "."])).join("")}'`;
    return `regexp ${set} '${pieces(2)}' ${text}`;
  }

  #submenu(depth: number): string {
    const id = `s${this.#entries++}`;
    this.#isQuiet = true;
    const before = this.#chance(0.4) ? `${this.#simple()}\n` : "";
    const after = this.#chance(0.2) ? `\nset default=${this.#choice()}` : "";
    this.#isQuiet = false;
    const inside = Array.from({ length: 1 + this.#below(3) }, () =>
      depth > 0 && this.#chance(0.2) ? this.#submenu(depth - 1) : this.#entry(),
    );
    return `submenu ${this.#title(id)} ${this.#options(id)} {\n${before}${inside.join("\n")}${after}\n}`;
  }

  #simple(): string {
    return this.#pick([
      `set a=${this.#word()}`,
      "export a",
      "export b c",
      'if [ -n "$a" ]; then set b=in; fi',
      "unset a",
      "set c=$1",
      'set d_1="$default$chosen"',
    ]);
  }

  #entry(): string {
    const id = `e${this.#entries++}`;
    if (this.#chance(0.05)) return `menuentry ${this.#title(id)} --source '${this.#ending(id)}'`;
    if (this.#chance(0.05)) return `menuentry ${this.#title(id)} { configfile $prefix/other.cfg\n}`;
    const body = this.#chance(0.5)
      ? `${this.#lines(2, (depth) => this.#statement(depth, true, this.#chance(0.1))).join("\n")}\n`
      : "";
    return `menuentry ${this.#title(id)} ${this.#options(id)} {\n${body}${this.#ending(id)}}`;
  }

  #title(id: string): string {
    return this.#pick([`'Title ${id}'`, `"T $a ${id}"`, id, `'it'\\''s ${id}'`, `'${id}>x'`]);
  }

  #options(id: string): string {
    const own = this.#pick(["", `--id ${id}`, `--id='i ${id}'`, `--id "${id}>y"`, `$nothing '${id}'`]);
    return `${this.#pick(["", "--class os --class x", "--unrestricted", "--hotkey=k", "--users u --unrestricted", "--unknown", "-z"].slice(0, 7))} ${own}`.replace(
      "--users u ",
      "",
    );
  }

  /** Tells which entry it is, and all that is known in it. */
  #ending(id: string): string {
    const values = '"$a|$b|$c|$d_1" n=$# ?=$? "$1" "$2" "$chosen" "$default" $*';
    return `@L /k-${id} ${values}\n${this.#chance(0.9) ? `@I /i-${id} $a "$b"\n` : ""}@END\n`;
  }

  #choice(): string {
    const which = () =>
      this.#pick([
        "0",
        "1",
        "2",
        "3",
        "0x1",
        "01",
        "08",
        "7",
        `e${this.#below(6)}`,
        `s${this.#below(6)}`,
        `'Title e${this.#below(6)}'`,
        `"i e${this.#below(6)}"`,
        `'e${this.#below(5)}>>x'`,
        "4294967297",
        "-1",
        "1x",
        '" 1"',
      ]);
    return this.#chance(0.5) ? which() : `${which()}">"${which()}`;
  }

  #environment(): Buffer {
    const lines = ["a", "b", "c", "saved_entry", "next_entry"].flatMap((name) => {
      if (this.#chance(0.5)) return [];
      const isEntry = name.endsWith("_entry");
      const value = isEntry ? this.#choice().replaceAll(/["']/g, "") : this.#pick([...PLAIN, ...SPACED]);
      return [`${name}=${value.replaceAll("\\", "\\\\")}\n`];
    });
    if (this.#chance(0.1))
      lines.push(this.#pick(["# a remark\n", "noequals\n", "\n", "=empty\n", "two=two\\\nlines\n"]));
    const text = `${this.#chance(0.95) ? "# GRUB Environment Block\n" : "# something\n"}${lines.join("")}`;
    return Buffer.from(text.padEnd(1024, "#"));
  }

  #words(): string {
    return Array.from({ length: this.#below(5) }, () => this.#word()).join(this.#pick([" ", " ", "  ", " \\\n "]));
  }

  #word(): string {
    return Array.from({ length: this.#chance(0.8) ? 1 : 2 }, () => this.#piece()).join("");
  }

  #piece(): string {
    const name = this.#name();
    switch (this.#below(10)) {
      case 0:
        return `$${name}`;
      case 1:
        return `"\${${name}}"`;
      case 2:
        return `'${this.#pick(SPACED).replaceAll("'", "")}'`;
      case 3:
        return `"${this.#pick(SPACED).replaceAll("$a", "\\$a")}$${name}"`;
      case 4:
        return this.#pick([
          "$1",
          "$2",
          '"$1"',
          "$@",
          '"$@"',
          "$*",
          '"$*"',
          "$#",
          "$?",
          '"$#"',
          "${10}",
          '"x$@y"',
          "$0",
        ]);
      case 5:
        return this.#pick([
          "\\$x",
          "a\\ b",
          "x\\\ny",
          '""',
          "''",
          '"\\\\"',
          '"a\\b"',
          "\\'",
          "#x".replace("#", "y#"),
          '"é"',
        ]);
      default:
        return this.#pick(PLAIN).replace(">", "\\>");
    }
  }

  #name(): string {
    return this.#pick(NAMES);
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#below(from.length)] as T;
  }

  #chance(probability: number): boolean {
    return this.#random() < probability;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  /** Mulberry32. */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let value = this.#state;
    value = Math.imul(value ^ (value >>> 15), value | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296;
  }
}
