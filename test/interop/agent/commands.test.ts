/**
 * The agent's commands, which print a key in the place of a server; and who comes while it ends.
 */
import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fetchKey } from "../../../script/key-client.ts";
import { activate } from "../../support/agent/activator.ts";
import { configureAgent, startAgent } from "../../support/agent/process.ts";
import { shippedAgent } from "../../support/agent/shipped.ts";
import { makeFolder } from "../../support/volumes.ts";

const folder = makeFolder();
const at = (name: string) => join(folder, name);
const configure = (volumes: Readonly<Record<string, string>>, config = "") => configureAgent(folder, volumes, config);

describe("the agent's commands", () => {
  const script = (name: string, text: string) => {
    writeFileSync(at(name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    return at(name);
  };
  const exec = (volume: string, program: string, more = "") => `[volume.${volume}]\nexec = ["${program}"]\n${more}\n`;

  test("what it prints is the key; a line feed at its end as the user says", async () => {
    const program = script("print", "echo key");
    const config = [
      exec("keep", program, 'newline = "keep"'),
      exec("plain", program),
      exec("strip", program, 'newline = "strip"'),
    ].join("");
    configure({ keep: "/nowhere", plain: "/nowhere", strip: "/nowhere" }, config);
    await using agent = await startAgent({ folder });
    assert.equal(String(await agent.ask("keep")), "key\n");
    assert.equal(String(await agent.ask("plain")), "key\n");
    assert.equal(String(await agent.ask("strip")), "key");
    await agent.said(new RegExp(`keep: key sent after .*, from command ${program}\n`));
  });

  test("any bytes are a key, and its environment is bare", async () => {
    const bytes = createCipheriv("aes-128-ctr", Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(4096));
    writeFileSync(at("key.bin"), bytes);
    const binary = script("binary", `exec cat ${at("key.bin")}`);
    const environment = script("environment", "exec /usr/bin/env");
    configure({ b: "/nowhere", e: "/nowhere" }, exec("b", binary) + exec("e", environment));
    await using agent = await startAgent({ folder });
    assert.deepEqual(await agent.ask("b"), bytes);
    const lines = String(await agent.ask("e")).split("\n");
    assert.deepEqual(lines.filter((line) => !/^(_|PWD|SHLVL|OLDPWD)=|^$/.test(line)).sort(), [
      "LC_ALL=C",
      "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    ]);
  });

  test("one that fails is tried again, with what it said kept out of the log", async () => {
    const program = script(
      "flaky",
      `test -e ${at("ready")} || { echo SWORDFISH >&2; touch ${at("ready")}; exit 6; }; echo key`,
    );
    configure({ v: "/nowhere" }, exec("v", program));
    await using agent = await startAgent({ folder });
    assert.equal(String(await agent.ask("v")), "key\n");
    await agent.said(/flaky ended with status 6 \[agent\/command-failed\]; trying again/);
    assert.doesNotMatch(agent.log(), /SWORDFISH/);
  });

  test("one that says no, or is not there, is not tried again", async () => {
    const program = script("no", "exit 22");
    configure(
      { no: "/nowhere", absent: "/nowhere" },
      exec("no", program, "refusal-status = [22]") + exec("absent", at("absent")),
    );
    await using agent = await startAgent({ folder });
    assert.equal((await agent.ask("no")).length, 0);
    await agent.said(/no: no key after .* refused the key \(status 22\) \[agent\/command-refused\]/);
    assert.equal((await agent.ask("absent")).length, 0);
    await agent.said(/absent: no key after .*\[system\/missing-program\]/);
  });

  test("one that hangs, with a child of its own, or prints too much, ends with the deadline", async () => {
    const hangs = script("hangs", `sleep 1000 & echo $! > ${at("child.pid")}; sleep 1000`);
    const floods = script("floods", "exec cat /dev/zero");
    configure(
      { hangs: "/nowhere", floods: "/nowhere" },
      exec("hangs", hangs, 'timeout = "500ms"\ndeadline = "1s"') + exec("floods", floods, 'deadline = "1s"'),
    );
    await using agent = await startAgent({ folder });
    assert.equal((await agent.ask("hangs")).length, 0);
    await agent.said(/did not end within 500 ms \[system\/timeout\]; trying again/);
    await agent.said(/hangs: no key after .*\[agent\/deadline\]/);
    await untilGone(readFileSync(at("child.pid"), "utf8").trim());
    assert.equal((await agent.ask("floods")).length, 0);
    await agent.said(/printed more than 8388608 bytes \[system\/output-too-large\]/);
  });
});

test("who comes while the agent ends for idleness is served by it or by the next", async () => {
  writeFileSync(at("crypttab"), "v /nowhere /run/x.sock luks\n");
  writeFileSync(at("agent.toml"), '[volume.v]\nexec = ["printf", "key"]\n');
  const socket = at("activated.sock");
  const files = ["--crypttab", at("crypttab"), "--config", at("agent.toml"), "--state", at("state")];
  await using activator = activate(socket, [...shippedAgent(), "--idle", "0", ...files]);
  for (let round = 0; round < 12; round++) {
    // One after the other at ever other distances: some find it serving, some at its end, some
    // gone.
    const keys = Array.from({ length: 5 }, async (_, index) => {
      await new Promise((wake) => setTimeout(wake, index * round * 4));
      return fetchKey({ socket, volume: "v" });
    });
    assert.deepEqual((await Promise.all(keys)).map(String), Array(5).fill("key"), activator.log());
    assert.equal(String(await fetchKey({ socket, volume: "v" })), "key", activator.log());
  }
  assert.ok(activator.starts() > 3, `${activator.starts()} starts`);
});

/** Ended, whether or not init has taken note of it. */
async function untilGone(pid: string): Promise<void> {
  for (;;) {
    try {
      if (/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "latin1"))) return;
    } catch {
      return;
    }
    await new Promise((wake) => setTimeout(wake, 10));
  }
}
