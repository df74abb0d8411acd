/** SoftHSM2 in place of a card, with tokens in a folder of the test's own. */
// @ts-nocheck

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { nodeSystem } from "../../src/system/node.ts";
import type { System } from "../../src/system/port.ts";
import { runTool } from "./volumes.ts";

export const SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so";

/** Why there is no SoftHSM here; false where there is. */
export const noSoftHsm: string | false = [
  [!existsSync(SOFTHSM), "softhsm2"],
  [spawnSync("pkcs11-tool", ["--help"]).error !== undefined, "opensc"],
  [spawnSync("gcc", ["--version"]).error !== undefined, "gcc"],
].reduce<string | false>((told, [lacks, name]) => told || (lacks === true && `${name} is not installed`), false);

/** What a real driver stands behind, and does otherwise at one function of PKCS#11. */
export interface Shim {
  /** Place in CK_FUNCTION_LIST. */
  readonly place: number;
  /** C statements; `REAL` is the function that the driver has there. */
  readonly body: string;
  /** Its parameters, e.g. `unsigned long session`. */
  readonly parameters?: string;
}

export interface SoftHsm {
  /** The real system, whose programs see this test's tokens. */
  readonly system: System;
  /** The environment that programs need to see them. */
  readonly environment: Readonly<Record<string, string>>;
  readonly folder: string;
  /** Makes a token. @returns its serial number */
  makeToken(label: string, pin: string): string;
  /** Makes a key on it: `rsa:2048`, `EC:prime256v1`. */
  makeKey(label: string, pin: string, type: string, name: string, id: string): void;
  /** Puts a private key on it, in PEM. */
  importKey(label: string, pin: string, pem: string, name: string, id: string): void;
  /** Makes a driver of SoftHSM's that does otherwise at one function. @returns its path */
  makeDriver(name: string, shim: Shim): string;
  /** Flags of the token as pkcs11-tool prints them. */
  flagsOf(label: string): string;
}

export function makeSoftHsm(home: string): SoftHsm {
  const tokens = join(home, "tokens");
  mkdirSync(tokens, { recursive: true });
  const configuration = join(home, "softhsm2.conf");
  writeFileSync(configuration, `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  const environment = { SOFTHSM2_CONF: configuration };
  const with_ = ["env", `SOFTHSM2_CONF=${configuration}`] as const;
  const tool = (...args: readonly string[]) =>
    runTool([...with_, "pkcs11-tool", "--module", SOFTHSM, ...args]).toString();
  return {
    system: { ...nodeSystem, run: (command) => nodeSystem.run({ ...command, argv: [...with_, ...command.argv] }) },
    environment,
    folder: home,
    makeToken(label, pin) {
      runTool([
        ...with_,
        "softhsm2-util",
        "--init-token",
        "--free",
        "--label",
        label,
        "--pin",
        pin,
        "--so-pin",
        "5678",
      ]);
      const listed = tool("--list-token-slots");
      const serial = new RegExp(`token label +: ${label}\\n[\\s\\S]*?serial num +: (\\w+)`).exec(listed)?.[1];
      if (serial === undefined) throw new Error(`no token ${label} in ${listed}`);
      return serial;
    },
    makeKey(label, pin, type, name, id) {
      const use = type.startsWith("EC:") ? "--usage-derive" : "--usage-decrypt";
      const key = ["--keypairgen", "--key-type", type, use, "--label", name, "--id", id];
      tool("--token-label", label, "--login", "--pin", pin, ...key);
    },
    importKey(label, pin, pem, name, id) {
      const file = join(home, "imported.pem");
      writeFileSync(file, pem, { mode: 0o600 });
      const key = ["--import", file, "--token", label, "--pin", pin, "--label", name, "--id", id];
      runTool([...with_, "softhsm2-util", ...key]);
    },
    makeDriver(name, { place, body, parameters = "void" }) {
      const source = join(home, `${name}.c`);
      const driver = join(home, `${name}.so`);
      writeFileSync(
        source,
        `${INCLUDES.map((name) => `#include <${name}.h>`).join("\n")}
         typedef struct { unsigned char version[2]; void *functions[68]; } List;
         static List list; static void *REAL;
         static unsigned long instead(${parameters}) { ${body} return 0; }
         unsigned long C_GetFunctionList(List **out) {
           void *library = dlopen("${SOFTHSM}", RTLD_NOW);
           unsigned long (*get)(List **) = (unsigned long (*)(List **))dlsym(library, "C_GetFunctionList");
           List *real;
           if (get(&real) != 0) return 5;
           list = *real;
           REAL = list.functions[${place}];
           list.functions[${place}] = (void *)instead;
           *out = &list;
           return 0;
         }\n`,
      );
      runTool(["gcc", "-shared", "-fPIC", "-o", driver, source, "-ldl"]);
      return driver;
    },
    flagsOf(label) {
      const listed = tool("--list-token-slots");
      return new RegExp(`token label +: ${label}\\n[\\s\\S]*?token flags +: (.*)`).exec(listed)?.[1] ?? "";
    },
  };
}

const INCLUDES = ["dlfcn", "errno", "stdio", "stdlib", "string", "sys/socket", "unistd"];

/** How many lines a driver has written into a file. */
export const linesIn = (file: string): number =>
  existsSync(file) ? readFileSync(file, "utf8").split("\n").length - 1 : 0;
