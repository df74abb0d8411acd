// @ts-nocheck
"use strict";
// Starts agent-program.cjs from the bytecode that script/bundle made of it: a boot waits for the
// compiler else. V8 refuses bytecode of another version or source, and then compiles as ever. See
// docs/decisions/020-cold-start.md.
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { Script } = require("node:vm");

const program = join(__dirname, "agent-program.cjs");
let cachedData;
try {
  cachedData = readFileSync(join(__dirname, "agent-program.cache"));
} catch {
  // slower, and no worse
}
const script = new Script(readFileSync(program, "utf8"), { filename: program, cachedData });
script.runInThisContext()(exports, require, module, program, __dirname);
