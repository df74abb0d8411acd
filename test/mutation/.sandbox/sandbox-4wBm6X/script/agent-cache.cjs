// @ts-nocheck
"use strict";
// Makes the bytecode of a program, every function of it, the same bytes each time: that takes a
// fixed seed for the hashes of strings, and names without a folder. usage: node --hash-seed=1
// script/agent-cache.cjs PROGRAM CACHE
const { readFileSync, writeFileSync } = require("node:fs");
const { setFlagsFromString } = require("node:v8");
const { Script } = require("node:vm");

const [program, cache] = process.argv.slice(2);
setFlagsFromString("--no-lazy");
const script = new Script(readFileSync(program, "utf8"), { filename: program });
// The bytecode names the flags that it was made under, and must name those that it will be run
// under: the defaults.
setFlagsFromString("--lazy");
setFlagsFromString("--hash-seed=0");
writeFileSync(cache, script.createCachedData());
