/**
 * Finds promises that nobody waits for, by their types: Nightlatch holds locks and keys by `using`,
 * and what goes on after its lock is gone, or fails where nobody hears, ends a change to a header
 * half-way.
 * usage: node script/promises.ts [FOLDER]    (a folder with a tsconfig.json; the checkout where it
 * is absent)
 *
 *   floating   a statement that is a promise; `await` it, or handle both of its ends:
 *              .then(ok, failed), .catch(failed). `void` says that it cannot fail.
 *   unawaited  `return` of a promise inside `try`, or where `using` disposes of something: the
 *              disposal would not wait for it
 *   misused    a function that returns a promise where nobody looks at what is returned
 */
// @ts-nocheck

import { relative, resolve } from "node:path";
import * as ast from "typescript/unstable/ast";
import { API, type Checker, type Project, type Type } from "typescript/unstable/sync";

export interface Finding {
  readonly file: string;
  readonly line: number;
  readonly rule: "floating" | "unawaited" | "misused";
  readonly text: string;
}

/** In every file of the project itself. @throws Error where the project cannot be opened */
export function findPromises(folder: string): readonly Finding[] {
  const api = new API({ cwd: folder });
  try {
    const [project] = api.updateSnapshot({ openProjects: [resolve(folder, "tsconfig.json")] }).getProjects();
    if (project === undefined || project.rootFiles.length === 0) throw new Error(`${folder} holds no project`);
    return project.rootFiles.flatMap((file) => inFile(project, file, relative(folder, file)));
  } finally {
    api.close();
  }
}

interface Suspect {
  readonly rule: Finding["rule"];
  readonly node: ast.Node;
  readonly expression: ast.Node;
}

function inFile({ program, checker }: Project, path: string, file: string): readonly Finding[] {
  const source = program.getSourceFile(path);
  if (source === undefined) throw new Error(`${path} is not part of its project`);
  const suspects: Suspect[] = [];
  collect(source, false, suspects);
  const types = checker.getTypeAtLocation(suspects.map(({ expression }) => expression));
  return suspects
    .filter(({ rule, expression }, index) => {
      if (rule === "misused") return isMisused(checker, expression as ast.Expression);
      return isPromise(checker, types[index]);
    })
    .map(({ rule, node }) => ({
      file,
      rule,
      line: source.text.slice(0, node.getStart(source)).split("\n").length,
      text: node.getText(source).split("\n", 1)[0] ?? "",
    }));
}

/** `isHeld`: something around ends, is caught or is disposed of with this block. */
function collect(node: ast.Node, isHeld: boolean, into: Suspect[]): void {
  if (ast.isExpressionStatement(node) && !isHandled(node.expression)) {
    into.push({ rule: "floating", node, expression: node.expression });
  }
  if (ast.isReturnStatement(node) && isHeld && node.expression !== undefined) {
    into.push({ rule: "unawaited", node, expression: node.expression });
  }
  if (ast.isArrowFunction(node) || ast.isFunctionExpression(node)) {
    into.push({ rule: "misused", node, expression: node });
  }
  if (ast.isTryStatement(node)) {
    collect(node.tryBlock, true, into);
    if (node.catchClause !== undefined) collect(node.catchClause, isHeld || node.finallyBlock !== undefined, into);
    if (node.finallyBlock !== undefined) collect(node.finallyBlock, isHeld, into);
    return;
  }
  const inner = isFunction(node) ? false : isHeld || declaresUsing(node);
  node.forEachChild((child) => collect(child, inner, into));
}

const isFunction = (node: ast.Node): boolean =>
  ast.isFunctionLikeDeclaration(node) || ast.isClassStaticBlockDeclaration(node);

/** Whether a block, or the head of a loop, has `using` or `await using` of its own. */
function declaresUsing(node: ast.Node): boolean {
  let found = false;
  node.forEachChild((child) => {
    const list = ast.isVariableStatement(child) ? child.declarationList : child;
    const isUsing =
      ast.isVariableDeclarationList(list) && (list.flags & ast.NodeFlags.BlockScoped) >= ast.NodeFlags.Using;
    found ||= isUsing;
  });
  return found;
}

/** node:test waits for these by itself. */
const REGISTERS = new Set(["test", "describe", "before", "after", "beforeEach", "afterEach"]);

/** Waited for, stored, declared to be without failure, or with both ends handled. */
function isHandled(expression: ast.Expression): boolean {
  if (ast.isAwaitExpression(expression) || ast.isVoidExpression(expression)) return true;
  if (ast.isBinaryExpression(expression)) {
    const { kind } = expression.operatorToken;
    return kind >= ast.SyntaxKind.FirstAssignment && kind <= ast.SyntaxKind.LastAssignment;
  }
  if (!ast.isCallExpression(expression)) return false;
  if (ast.isIdentifier(expression.expression) && REGISTERS.has(expression.expression.text)) return true;
  if (!ast.isPropertyAccessExpression(expression.expression)) return false;
  const { name } = expression.expression;
  const count = expression.arguments.length;
  return (name.text === "catch" && count >= 1) || (name.text === "then" && count >= 2);
}

function isPromise(checker: Checker, type: Type | undefined): boolean {
  if (type === undefined) return false;
  if (type.isUnionType()) return type.getTypes().some((part) => isPromise(checker, part));
  return type.isObjectType() && checker.getPropertyOfType(type, "then") !== undefined;
}

/** A function that returns a promise, given to what takes one that returns nothing. */
function isMisused(checker: Checker, node: ast.Expression): boolean {
  const expected = checker.getContextualType(node);
  if (expected === undefined) return false;
  const wanted = returned(checker, checker.getNonNullableType(expected));
  if (wanted.length === 0 || !wanted.every((type) => type.id === checker.getVoidType().id)) return false;
  return returned(checker, checker.getTypeAtLocation(node)).some((type) => isPromise(checker, type));
}

function returned(checker: Checker, type: Type | undefined): readonly Type[] {
  if (type === undefined) return [];
  const parts = type.isUnionType() ? type.getTypes() : [type];
  const signatures = parts.flatMap((part) => checker.getSignaturesOfType(part, CALL));
  return signatures
    .map((signature) => checker.getReturnTypeOfSignature(signature))
    .filter((part) => part !== undefined);
}

const CALL = 0;

if (import.meta.main) {
  const findings = findPromises(resolve(process.argv[2] ?? resolve(import.meta.dirname, "..")));
  for (const { file, line, rule, text } of findings) console.log(`${file}:${line}: ${rule}: ${text}`);
  process.exitCode = findings.length > 0 ? 1 : 0;
}
