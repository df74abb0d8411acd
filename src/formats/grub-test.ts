/** GRUB's `[` and `test` (grub-core/commands/test.c), as far as a menu asks: strings, numbers, files. */
export function evaluateTest(args: readonly string[], fileSizeBytes: (path: string) => number | null): boolean {
  return new Condition(args, fileSizeBytes).or();
}

class Condition {
  readonly #args: readonly string[];
  readonly #fileSizeBytes: (path: string) => number | null;
  #at = 0;

  constructor(args: readonly string[], fileSizeBytes: (path: string) => number | null) {
    this.#args = args;
    this.#fileSizeBytes = fileSizeBytes;
  }

  or(): boolean {
    let value = this.#and();
    while (this.#args[this.#at] === "-o") {
      this.#at++;
      value = this.#and() || value;
    }
    return value;
  }

  #and(): boolean {
    let value = this.#term();
    while (this.#at < this.#args.length && this.#args[this.#at] !== "-o" && this.#args[this.#at] !== ")") {
      if (this.#args[this.#at] === "-a") this.#at++;
      value = this.#term() && value;
    }
    return value;
  }

  #term(): boolean {
    const [first, second, third] = this.#args.slice(this.#at, this.#at + 3);
    if (first === undefined) return false;
    if (second !== undefined && third !== undefined) {
      const compared = compare(first, second, third);
      if (compared !== null) {
        this.#at += 3;
        return compared;
      }
    }
    if (first === "!") {
      this.#at++;
      return !this.#term();
    }
    if (first === "(") {
      this.#at++;
      const value = this.or();
      this.#at++;
      return value;
    }
    if (second !== undefined && /^-[nzdefs]$/.test(first)) {
      this.#at += 2;
      return this.#unary(first, second);
    }
    this.#at++;
    return first !== "";
  }

  #unary(operator: string, operand: string): boolean {
    if (operator === "-n") return operand !== "";
    if (operator === "-z") return operand === "";
    const sizeBytes = this.#fileSizeBytes(operand);
    if (operator === "-d") return false;
    return sizeBytes !== null && (operator !== "-s" || sizeBytes > 0);
  }
}

function compare(left: string, operator: string, right: string): boolean | null {
  const numbers = () => [Number.parseInt(left, 10) || 0, Number.parseInt(right, 10) || 0] as const;
  const by = (holds: (l: number, r: number) => boolean) => holds(...numbers());
  switch (operator) {
    case "=":
    case "==":
      return left === right;
    case "!=":
      return left !== right;
    case "-eq":
      return by((l, r) => l === r);
    case "-ne":
      return by((l, r) => l !== r);
    case "-lt":
      return by((l, r) => l < r);
    case "-le":
      return by((l, r) => l <= r);
    case "-gt":
      return by((l, r) => l > r);
    case "-ge":
      return by((l, r) => l >= r);
    default:
      return null;
  }
}
