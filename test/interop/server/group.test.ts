/** Groups and what new machines begin with, as a person says it and reads it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { nightlatch, serve } from "../../support/serve.ts";
import { enrolAt } from "../../support/server/client.ts";

test("a policy is said of a group, of one machine in it, and of those that are to come", async () => {
  await using server = await serve();
  const say = async (...words: string[]) => (await nightlatch(...words, "--admin", server.admin)).stdout;
  const code = async (...words: string[]) => {
    const { status, stdout } = await nightlatch(...words, "--admin", server.admin, "--json");
    assert.equal(status, 1);
    return (JSON.parse(stdout) as { error: { code: string } }).error.code;
  };
  await enrolAt(server, "nas");
  await enrolAt(server, "web");
  assert.match(
    await say("group", "add", "home"),
    /^The group home is there\. Put machines into it: nightlatch group join/,
  );
  const joined = await say("group", "join", "home", "nas", "web", "nas");
  assert.match(
    joined,
    /^nas is in the group home\. Its policy: always\.\nweb is in .*\nnas was in the group home already\.\n$/,
  );
  assert.match(
    await say("machine", "policy", "web", "approval", "--of", "2"),
    /^web is released once operators approve/,
  );
  assert.match(
    await say("group", "policy", "home", "lease", "--per-day", "4"),
    /^The policy of the group home is lease\./,
  );
  const shown = await say("group", "show", "home");
  assert.match(shown, /^home: policy lease per-day 4\nNAME +STATE +POLICY +SAID OF +LAST HEARD\n/);
  assert.match(shown, /\nnas +active +lease per-day 4 +its group +never\n/);
  assert.match(shown, /\nweb +active +approval of 2 +the machine itself +never\n/);
  assert.match(
    await say("machine", "policy", "web", "inherit"),
    /^web is released as its group says.*: lease per-day 4\.\n$/,
  );
  assert.match(await say("machine", "show", "web"), /\nin the group home\npolicy of its group lease per-day 4,/);

  assert.match(
    await say("group", "policy", "default", "lease"),
    /^The policy of machines that enrol from now on is lease\./,
  );
  await enrolAt(server, "new");
  const { machines } = await server.json("machine", "list");
  const policies = (machines as Record<string, string>[]).map(
    ({ name, policy, policyOf }) => `${name} ${policy} ${policyOf}`,
  );
  assert.deepEqual(policies, ["nas lease group", "new lease default", "web lease group"]);
  assert.equal(await code("group", "policy", "home", "alive"), "alive/not-heard");
  assert.equal(await code("group", "remove", "home"), "group/in-use");
  assert.equal(await code("group", "join", "nowhere", "nas"), "group/unknown");
  const left = await server.json("group", "leave", "nas", "web");
  assert.equal(left["ok"], true);
  assert.match(await say("group", "remove", "home"), /^The group home is gone\.\n$/);
  assert.match(await say("group", "list"), /^GROUP +POLICY +MACHINES\ndefault +lease +0\n$/);

  const log = await say("audit", "tail", "-n", "12");
  for (const line of [
    /the group home was made by user \d+\n/,
    /nas +put into the group home by user \d+\n/,
    /policy of the group home: lease per-day 4, by user \d+\n/,
    /policy of new machines: lease, by user \d+\n/,
    /web +taken out of the group home by user \d+\n/,
    /the group home was removed by user \d+\n/,
  ])
    assert.match(log, line);
  assert.equal((await server.json("audit", "verify"))["ok"], true);
});
