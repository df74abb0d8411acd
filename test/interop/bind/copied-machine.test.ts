/**
 * A machine that was cloned, disk and identity and all: what is printed gives it an identity and a
 * binding of its own.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync } from "node:fs";
import { test } from "node:test";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as unlock } from "../../../src/cli/commands/unlock.ts";
import { isError } from "../../../src/core/errors.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { inviteAt, keyArgs, makeImage, served } from "../../support/bind-bench.ts";
import { runCommand } from "../../support/terminal.ts";

const server = served();

test("an invite for web on a copy of nas is refused, and what is printed then makes it web", async () => {
  const nas = makeImage("luks2");
  await runCommand(bind, [nas.image, "latch", await inviteAt(server(), "nas"), ...keyArgs(nas.state)], nodeSystem);
  const web = { image: `${nas.image}.copy`, state: `${nas.state}.copy`, other: makeImage("luks2").image };
  copyFileSync(nas.image, web.image);
  cpSync(nas.state, web.state, { recursive: true });

  const invite = await inviteAt(server(), "web");
  const refused = await runCommand(bind, [web.other, "latch", invite, ...keyArgs(web.state)], nodeSystem).catch(
    (error: unknown) => error,
  );
  assert.ok(isError(refused, "invite/other-machine"), String(refused));
  assert.match(
    refused.message,
    /^127\.0\.0\.1:\d+ says that the invite was made for another machine: the server knows this one's identity as nas$/,
  );
  const move = /(?<=: )mv (\S+) (\S+)$/m.exec(refused.remedy ?? "");
  assert.ok(move !== null && refused.remedy?.includes("add --replace") === true, String(refused.remedy));
  assert.equal(spawnSync("sh", ["-c", String(move[0])]).status, 0);
  assert.ok(existsSync(`${web.state}/identity.key.nas`), "kept, in case that it was nas after all");

  const other = await runCommand(bind, [web.other, "latch", invite, ...keyArgs(web.state)], nodeSystem);
  assert.equal(other.result["outcome"], "bound");
  const copied = await runCommand(bind, [web.image, "latch", "--replace", ...keyArgs(web.state)], nodeSystem);
  assert.equal(copied.result["outcome"], "bound");

  const machines = (await server().json("machine", "list"))["machines"] as { name: string }[];
  assert.deepEqual(
    machines.map(({ name }) => name),
    ["nas", "web"],
  );
  await server().json("machine", "revoke", "nas");
  for (const image of [web.image, web.other]) {
    assert.equal((await runCommand(unlock, [image, "--test"], nodeSystem)).status, 0, image);
  }
  assert.notEqual((await runCommand(unlock, [nas.image, "--test"], nodeSystem)).status, 0);
});
