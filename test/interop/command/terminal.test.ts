import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";

// util-linux's script(1) gives the child a terminal of its own; what it prints is what a person
// would see.
const folder = mkdtempSync(join(tmpdir(), "nightlatch-terminal-"));
after(() => rmSync(folder, { recursive: true }));
const asker = join(folder, "ask.ts");
writeFileSync(
  asker,
  `import { openTerminal } from ${JSON.stringify(resolve(import.meta.dirname, "../../../src/cli/terminal.ts"))};
   const terminal = openTerminal(false, new AbortController().signal);
   try {
     const secret = await terminal.askSecret("Passphrase: ");
     terminal.line("GOT " + Buffer.from(secret.reveal()).toString("hex"));
   } catch (error) {
     terminal.line("FAILED " + error.code);
   }`,
);
const node = resolve(import.meta.dirname, "../../../script/node");

function ask(typed: readonly string[]): Promise<string> {
  return new Promise((done, fail) => {
    const child = spawn("script", ["-qec", `${node} ${asker}`, "/dev/null"], { stdio: ["pipe", "pipe", "inherit"] });
    let screen = "";
    let at = 0;
    const deadline = setTimeout(() => child.kill(), 60_000);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      screen += text;
      if (at === 0 && screen.includes("Passphrase: ")) for (; at < typed.length; at++) child.stdin.write(typed[at]);
    });
    child.on("error", fail);
    child.on("close", () => {
      clearTimeout(deadline);
      done(screen);
    });
  });
}

const hex = (text: string): string => Buffer.from(text).toString("hex");

test("a passphrase is read without an echo", async () => {
  const screen = await ask(["pässword\r"]);
  assert.ok(screen.includes(`GOT ${hex("pässword")}`), screen);
  assert.ok(!screen.includes("word\r"), "it was echoed");
});

test("backspace takes one character, also of several bytes; control-U takes all", async () => {
  assert.ok((await ask(["abä\x7f\x7fc\r"])).includes(`GOT ${hex("ac")}\r`));
  assert.ok((await ask(["wrong\x15right\r"])).includes(`GOT ${hex("right")}\r`));
});

test("control-C cancels", async () => {
  assert.ok((await ask(["abc\x03"])).includes("FAILED usage/cancelled"));
});

test("without a terminal the error names the way out", async () => {
  const child = spawn("setsid", ["-w", node, asker], { stdio: ["ignore", "pipe", "inherit"] });
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  await new Promise((closed) => child.on("close", closed));
  assert.equal(out, "FAILED usage/no-terminal\n");
});

const command = resolve(import.meta.dirname, "../../../bin/nightlatch");

/** What the shell says that came of it. */
function shell(line: string): string {
  const { stdout } = spawnSync("bash", ["-c", line, "bash", command], { encoding: "utf8", timeout: 60_000 });
  return stdout;
}

test("a reader that goes away takes nothing but the text: no stack trace, and the status tells of the work", () => {
  assert.equal(shell(`exec 3>&1; { "$1" --help 2>&3; echo "status $?" >&3; } | exec true`), "status 0\n");
  assert.equal(
    shell(`exec 3>&1; { "$1" unlock --json /nonexistent 2> /dev/null; echo "status $?" >&3; } | exec true`),
    "status 1\n",
  );
  assert.equal(
    shell(`exec 3>&1; { "$1" unlock /nonexistent 2>&1 >&3; echo "status $?" >&3; } | exec true`),
    "status 1\n",
  );
});

test("a result that no disk had room for is a failure", () => {
  assert.equal(
    shell(`"$1" --help 2>&1 > /dev/full; echo "status $?"`),
    "nightlatch: standard output could not be written (ENOSPC)\nstatus 1\n",
  );
});
