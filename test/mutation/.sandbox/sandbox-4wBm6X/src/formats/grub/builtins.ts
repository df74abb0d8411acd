// @ts-nocheck
import { unknown } from "./budget.ts";
import { commandKind } from "./commands.ts";
import { requireNoDevice } from "./device.ts";
import { type Builtin, notFollowed } from "./interpreter.ts";
import type { GrubMachine } from "./machine.ts";
import { asInt, readNumber } from "./number.ts";
import { type GrubOption, parseGrubArguments } from "./options.ts";
import { matchRegexp } from "./regexp.ts";
import { parseOldSearch, parseSearch, type Search } from "./search.ts";
import * as status from "./status.ts";
import { evaluateTest } from "./test.ts";

const { OK, TEST_FAILURE, BAD_ARGUMENT } = status;
const FILE: GrubOption = { name: "file", letter: "f", value: "needed" };
const SKIP_SIGNATURE: GrubOption = { name: "skip-sig", letter: "s", value: "none" };
const SET: GrubOption = { name: "set", letter: "s", value: "needed" };
const DATE = ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "WEEKDAY"];

/**
 * Finds a command that changes what the script does, by its name. Null for one that is not a
 * command of GRUB's, as far as is known.
 */
export function builtinOf(machine: GrubMachine, name: string): Builtin | null {
  const own = Object.hasOwn(BUILTINS, name) ? BUILTINS[name] : undefined;
  if (own !== undefined) return (args, block) => own(machine, args, block, name);
  switch (commandKind(name)) {
    case "fine":
      return () => OK;
    case "doubtful":
      return () => (machine.disk.works(name) ? OK : BAD_ARGUMENT);
    case "linux":
      return (args) => machine.loadLinux(args);
    case "initrd":
      return (args) => machine.loadInitrd(args);
    case "other loader":
      return () => machine.loadOther();
    case "end":
      return (args) => (args.includes("--is-supported") ? machine.statusOf(`${name} --is-supported`) : machine.leave());
    case "not followed":
      throw notFollowed(name);
    default:
      return null;
  }
}

type Own = (machine: GrubMachine, args: readonly string[], block: Parameters<Builtin>[1], name: string) => number;

const set: Own = ({ variables }, args) => {
  const [assignment] = args;
  if (assignment === undefined) return OK;
  const equals = assignment.indexOf("=");
  if (equals < 0) return BAD_ARGUMENT;
  variables.set(assignment.slice(0, equals), assignment.slice(equals + 1));
  return OK;
};

const test: Own = (machine, args) =>
  evaluateTest(args, {
    bits: machine.bits,
    budget: machine.budget,
    fileFacts: (path) => machine.disk.fileFacts(path),
    compares: (left, right) => {
      for (const side of [left, right]) requireNoDevice(side, "compares with");
    },
    modificationTimes: () => {
      throw unknown("compares files by their times");
    },
  })
    ? OK
    : TEST_FAILURE;

const leaveLoops: Own = ({ interpreter }, args, _block, name) => {
  if (args.length > 1) return BAD_ARGUMENT;
  const count = args[0] === undefined ? { number: 1n, status: OK } : wholeNumber(args[0]);
  if (count.status !== OK) return count.status;
  if (count.number === 0n) return BAD_ARGUMENT;
  interpreter.isContinue = name !== "break";
  interpreter.activeBreaks = count.number < interpreter.activeLoops ? count.number : interpreter.activeLoops;
  return OK;
};

function wholeNumber(text: string): { readonly number: bigint; readonly status: number } {
  const { value, end, error } = readNumber(text, 10, 64);
  if (error !== "none") return { number: 0n, status: error === "no number" ? status.BAD_NUMBER : status.OUT_OF_RANGE };
  return { number: value, status: end === text.length ? OK : BAD_ARGUMENT };
}

const shift: Own = ({ interpreter: { scope } }, args) => {
  if (scope === null) return OK;
  if (args.length > 1) return BAD_ARGUMENT;
  const { value, end } = args[0] === undefined ? { value: 1n, end: 0 } : readNumber(args[0], 10, 64);
  if (args[0] !== undefined && end < args[0].length) return BAD_ARGUMENT;
  if (value > BigInt(scope.args.length)) return BAD_ARGUMENT;
  scope.args = scope.args.slice(Number(value));
  return OK;
};

const setparams: Own = ({ interpreter: { scope } }, args) => {
  if (scope === null) return status.INVALID_COMMAND;
  scope.args = args;
  return OK;
};

const leaveFunction: Own = ({ interpreter, variables }, args) => {
  if (interpreter.scope === null || args.length > 1) return BAD_ARGUMENT;
  if (args[0] === undefined) {
    interpreter.functionReturn = true;
    return asInt(readNumber(variables.get("?") ?? "0", 10, 64).value);
  }
  const { number, status: failure } = wholeNumber(args[0]);
  if (failure !== OK) return failure;
  interpreter.functionReturn = true;
  return asInt(number);
};

const regexp: Own = ({ variables, budget }, args) => {
  const parsed = parseGrubArguments(args, [SET]);
  if (typeof parsed === "string") return parsed === "help" ? OK : BAD_ARGUMENT;
  const [expression, text] = parsed.rest;
  if (expression === undefined || text === undefined || parsed.rest.length !== 2) return BAD_ARGUMENT;
  requireNoDevice(text, "looks for a pattern in");
  const wanted = parsed.options.get("set") ?? [];
  const matched = matchRegexp(expression, text, wanted.length > 0, budget);
  if (matched === null) return TEST_FAILURE;
  for (const want of wanted) {
    const colon = want.indexOf(":");
    const { value, end } = colon < 0 ? { value: 1n, end: colon } : readNumber(want, 10, 64);
    if (end !== colon) return BAD_ARGUMENT;
    const part = matched[Number(value)] ?? null;
    const name = want.slice(colon + 1);
    if (part === null) variables.unset(name);
    else variables.set(name, part);
  }
  return OK;
};

const search = (machine: GrubMachine, found: Search | number): number => {
  if (typeof found === "number") return found;
  if (found.isDoubtful && !machine.disk.works("search")) return status.FILE_NOT_FOUND;
  if (found.variable !== null) machine.variables.set(found.variable, found.device);
  return OK;
};

const count: Own = ({ variables }, args, _block, name) => {
  const [variable] = args;
  if (variable === undefined || args.length > 1) return BAD_ARGUMENT;
  const old = variables.get(variable);
  if (old === null) return status.FILE_NOT_FOUND;
  const sign = old.trimStart().startsWith("-") ? -1n : 1n;
  const { value, error } = readNumber(sign < 0n ? old.trimStart().slice(1) : old, 0, 64);
  if (error !== "none") return error === "no number" ? status.BAD_NUMBER : status.OUT_OF_RANGE;
  variables.set(variable, String(sign * value + (name === "increment" ? 1n : -1n)));
  return OK;
};

const BUILTINS: { readonly [name: string]: Own } = {
  set,
  "[": test,
  test,
  shift,
  setparams,
  regexp,
  break: leaveLoops,
  continue: leaveLoops,
  return: leaveFunction,
  increment: count,
  decrement: count,
  true: () => OK,
  false: () => TEST_FAILURE,
  unset: ({ variables }, [name]) => {
    if (name === undefined) return BAD_ARGUMENT;
    variables.unset(name);
    return OK;
  },
  export: ({ variables }, args) => {
    for (const name of args) variables.export(name);
    return args.length === 0 ? BAD_ARGUMENT : OK;
  },
  eval: ({ interpreter, budget }, args) =>
    args.length === 0 ? OK : budget.deeper(() => interpreter.runText(args.join(" "))),
  insmod: ({ variables }, [module]) => {
    if (module === undefined) return BAD_ARGUMENT;
    if (module === "datehook") for (const name of DATE) variables.set(name, null);
    return OK;
  },
  source: (machine, args) => machine.source(args),
  ".": (machine, args) => machine.source(args),
  configfile: (machine, args) => machine.configfile(args),
  menuentry: (machine, args, block) => machine.addEntry("entry", args, block),
  submenu: (machine, args, block) => machine.addEntry("submenu", args, block),
  load_env: (machine, args) => machine.disk.environment("load", parseGrubArguments(args, [FILE, SKIP_SIGNATURE])),
  save_env: (machine, args) => machine.disk.environment("save", parseGrubArguments(args, [FILE, SKIP_SIGNATURE])),
  search: (machine, args) => search(machine, parseSearch(args)),
  "search.fs_uuid": (machine, args) => search(machine, parseOldSearch("fs_uuid", args)),
  "search.fs_label": (machine, args) => search(machine, parseOldSearch("fs_label", args)),
  "search.file": (machine, args) => search(machine, parseOldSearch("file", args)),
  blscfg: (machine, args) => machine.addBlsEntries(args),
  bls_import: (machine, args) => machine.addBlsEntries(args),
  boot: (machine) => machine.boot(),
  // Nobody holds a key down.
  keystatus: () => TEST_FAILURE,
  // The graphics card is on no list of those that fail: such a list chooses how the screen looks.
  hwmatch: ({ variables }) => {
    variables.set("match", "0");
    return OK;
  },
};
