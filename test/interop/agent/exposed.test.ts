import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  lchownSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { startAgent } from "../../support/agent/process.ts";
import { nightlatch } from "../../support/serve.ts";
import { makeFolder } from "../../support/volumes.ts";

const NOBODY = 65534;
const KEY = "what the command prints";
const isRoot = process.geteuid?.() === 0;

interface Case {
  /** What somebody got wrong. */
  readonly spoil: () => void;
  /** What is told. */
  readonly path: string;
  readonly code?: "check/exposed" | "check/identity";
}

test("files that others could change are refused, told by check, and mended by the command that is printed", {
  skip: isRoot ? false : "needs root, to make files of another user's",
}, async () => {
  const folder = makeFolder();
  const etc = join(folder, "etc");
  const state = join(folder, "state");
  const at = (name: string) => join(etc, name);
  const identity = join(state, "identity.key");

  /** Everything as the package has it. */
  function setUp(): void {
    for (const made of [etc, state, join(folder, "elsewhere")]) rmSync(made, { recursive: true, force: true });
    mkdirSync(etc, { mode: 0o755 });
    mkdirSync(state, { mode: 0o700 });
    mkdirSync(join(folder, "elsewhere"), { mode: 0o1777 });
    chmodSync(join(folder, "elsewhere"), 0o1777);
    writeFileSync(identity, "not looked at", { mode: 0o600 });
    writeFileSync(at("print-key"), `#!/bin/sh\nprintf '%s' '${KEY}'\n`, { mode: 0o755 });
    writeFileSync(at("crypttab"), `v /nowhere ${join(folder, "agent.sock")} luks,nofail\n`, { mode: 0o644 });
    writeFileSync(at("agent.toml"), `[volume.v]\nexec = ["${at("print-key")}"]\n`, { mode: 0o600 });
  }
  /** A link in place of agent.toml. */
  function linkConfig(target: string): string {
    copyFileSync(at("agent.toml"), target);
    renameSync(at("agent.toml"), at("agent.old"));
    symlinkSync(target, at("agent.toml"));
    return target;
  }
  const elsewhere = (name: string) => join(folder, "elsewhere", name);

  const cases: Readonly<Record<string, Case>> = {
    "agent.toml 0666": { spoil: () => chmodSync(at("agent.toml"), 0o666), path: at("agent.toml") },
    "agent.toml 0660": { spoil: () => chmodSync(at("agent.toml"), 0o660), path: at("agent.toml") },
    "agent.toml of another user": { spoil: () => chownSync(at("agent.toml"), NOBODY, 0), path: at("agent.toml") },
    "agent.toml of another user, and open": {
      spoil: () => {
        chownSync(at("agent.toml"), NOBODY, NOBODY);
        chmodSync(at("agent.toml"), 0o622);
      },
      path: at("agent.toml"),
    },
    "its folder 0777": { spoil: () => chmodSync(etc, 0o777), path: etc },
    "its folder of another user": { spoil: () => chownSync(etc, NOBODY, 0), path: etc },
    "a link to what is open": {
      spoil: () => chmodSync(linkConfig(elsewhere("config")), 0o646),
      path: elsewhere("config"),
    },
    "a link of another user's": {
      spoil: () => {
        linkConfig(at("config"));
        lchownSync(at("agent.toml"), NOBODY, NOBODY);
      },
      path: at("agent.toml"),
    },
    "crypttab 0666": { spoil: () => chmodSync(at("crypttab"), 0o666), path: at("crypttab") },
    "the state folder 0777": { spoil: () => chmodSync(state, 0o777), path: state },
    "the state folder 01777": { spoil: () => chmodSync(state, 0o1777), path: state },
    "the state folder of another user": { spoil: () => chownSync(state, NOBODY, 0), path: state },
    "an identity 0644": { spoil: () => chmodSync(identity, 0o644), path: identity, code: "check/identity" },
    "an identity 0640": { spoil: () => chmodSync(identity, 0o640), path: identity, code: "check/identity" },
    "an identity 0622": { spoil: () => chmodSync(identity, 0o622), path: identity },
    "the command's program 0777": { spoil: () => chmodSync(at("print-key"), 0o777), path: at("print-key") },
    "a program of another user": { spoil: () => chownSync(at("print-key"), NOBODY, 0), path: at("print-key") },
  };

  setUp();
  const files = ["--crypttab", at("crypttab"), "--config", at("agent.toml"), "--state", state];
  const args = [...files, "--socket", join(folder, "agent.sock")];
  await using agent = await startAgent({ folder, args: files });
  const findings = async () => {
    const { stdout } = await nightlatch("check", ...args, "--fstab", join(folder, "none"), "--json");
    const report = JSON.parse(stdout) as {
      findings: Record<"code" | "severity" | "subject" | "text" | "remedy", string>[];
    };
    return report.findings.filter(({ code }) => /^check\/(?:exposed|identity)$/.test(code));
  };

  for (const [name, { spoil, path, code = "check/exposed" }] of Object.entries(cases)) {
    setUp();
    assert.equal(String(await agent.ask("v")), KEY, `${name}: ${agent.log()}`);
    spoil();
    const before = agent.log().length;
    assert.equal((await agent.ask("v")).length, 0, name);
    const said = agent.log().slice(before);
    const line = new RegExp(
      `v: no key after .*: ${path} .* by others than root .*\\[agent/exposed\\]|${path} belongs to`,
    );
    assert.match(said, line, name);
    assert.match(said, /\[agent\/exposed\]/, name);
    const [finding, ...more] = await findings();
    assert.ok(finding !== undefined, name);
    assert.deepEqual([finding.severity, finding.code, finding.subject], ["error", code, path], name);
    assert.match(finding.text, /\[agent\/exposed\]/);
    assert.ok(said.includes(finding.remedy), `${name}: the journal has the remedy too`);
    for (const { remedy } of [finding, ...more]) execFileSync("sh", ["-c", remedy]);
    assert.equal(String(await agent.ask("v")), KEY, `${name}, mended: ${agent.log()}`);
  }
  assert.deepEqual(await findings(), []);
  await agent.stop();
});
