// @ts-nocheck
import { TOKEN_WORK, type WorkBudget } from "./budget.ts";
import { readInt, readNumber } from "./number.ts";

/** What `test` asks of the machine. */
interface TestWorld {
  readonly bits: 32 | 64;
  readonly budget: WorkBudget;
  /** Null where it cannot be told. */
  fileFacts(path: string): { readonly kind: "file" | "directory" | "absent"; readonly isEmpty: boolean };
  /**
   * Called with what is compared.
   * @throws NightlatchError grub/unknown where one of them is not known
   */
  compares(left: string, right: string): void;
  /** @throws NightlatchError grub/unknown */
  modificationTimes(): never;
}

/**
 * Evaluates GRUB's `[` and `test` (grub-core/commands/test.c), in one pass and without a stack of
 * calls.
 * @param args without the command's name
 */
export function evaluateTest(args: readonly string[], world: TestWorld): boolean {
  const end = args.at(-1) === "]" ? args.length - 1 : args.length;
  const outer: State[] = [];
  let state: State = { invert: false, or: false, and: true };
  const update = (value: boolean) => {
    state.and &&= value !== state.invert;
    state.invert = false;
  };
  for (let at = 0; at < end; ) {
    world.budget.spend(TOKEN_WORK);
    const [first = "", second = "", third = ""] = [args[at], args[at + 1], args[at + 2]];
    const compared = at + 2 < end ? compare(first, second, third, world) : null;
    if (compared !== null) {
      update(compared);
      at += 3;
      continue;
    }
    const asked = at + 1 < end ? unary(first, second, world) : null;
    if (asked !== null) {
      update(asked);
      at += 2;
      continue;
    }
    at++;
    if (first === ")") {
      const value = state.or || state.and;
      const before = outer.pop();
      // GRUB leaves what stands behind a ")" that closes nothing.
      if (before === undefined) return value;
      state = before;
      update(value);
    } else if (first === "(") {
      outer.push(state);
      state = { invert: false, or: false, and: true };
    } else if (first === "!") state.invert = !state.invert;
    else if (first === "-o") {
      state.or ||= state.and;
      state.and = true;
    } else if (first !== "-a") update(first !== "");
  }
  for (let before = outer.pop(); before !== undefined; before = outer.pop()) {
    const value = state.or || state.and;
    state = before;
    update(value);
  }
  return state.or || state.and;
}

interface State {
  invert: boolean;
  or: boolean;
  and: boolean;
}

function unary(operator: string, operand: string, world: TestWorld): boolean | null {
  switch (operator) {
    case "-n":
      return operand !== "";
    case "-z":
      return operand === "";
    case "-d":
      return world.fileFacts(operand).kind === "directory";
    case "-e":
      return world.fileFacts(operand).kind !== "absent";
    case "-f":
      return world.fileFacts(operand).kind === "file";
    case "-s": {
      const { kind, isEmpty } = world.fileFacts(operand);
      return kind === "file" && !isEmpty;
    }
    default:
      return null;
  }
}

const TEXTS: { readonly [operator: string]: (order: number) => boolean } = {
  "=": (order) => order === 0,
  "==": (order) => order === 0,
  "!=": (order) => order !== 0,
  "<": (order) => order < 0,
  "<=": (order) => order <= 0,
  ">": (order) => order > 0,
  ">=": (order) => order >= 0,
};

const NUMBERS: { readonly [operator: string]: (left: number, right: number) => boolean } = {
  "-eq": (left, right) => left === right,
  "-ge": (left, right) => left >= right,
  "-gt": (left, right) => left > right,
  "-le": (left, right) => left <= right,
  "-lt": (left, right) => left < right,
  "-ne": (left, right) => left !== right,
};

/** Null where the word in the middle is no operator. */
function compare(left: string, operator: string, right: string, world: TestWorld): boolean | null {
  if (operator.length > 4 && !/^-[no]t/.test(operator)) return null;
  const byText = Object.hasOwn(TEXTS, operator) ? TEXTS[operator] : undefined;
  const byNumber = Object.hasOwn(NUMBERS, operator) ? NUMBERS[operator] : undefined;
  const byVersion = operator === "-pgt" || operator === "-plt";
  if (byText !== undefined || byNumber !== undefined || byVersion) {
    world.compares(left, right);
    world.budget.spend(left.length + right.length);
  }
  if (byText !== undefined) return byText(Buffer.compare(Buffer.from(left), Buffer.from(right)));
  if (byNumber !== undefined) return byNumber(readInt(left, world.bits), readInt(right, world.bits));
  if (byVersion) {
    const order = compareVersions(left, right, world.bits);
    return operator === "-pgt" ? order > 0n : order < 0n;
  }
  if (/^-[no]t/.test(operator)) world.modificationTimes();
  return null;
}

/** By the number in which they first differ: vmlinuz-2 before vmlinuz-11. */
function compareVersions(left: string, right: string, bits: 32 | 64): bigint {
  let at = 0;
  while (at < left.length && left[at] === right[at]) at++;
  at--;
  while (at > 0 && /^[0-9]$/.test(left[at] ?? "")) at--;
  at++;
  return readNumber(left.slice(at), 0, bits).value - readNumber(right.slice(at), 0, bits).value;
}
