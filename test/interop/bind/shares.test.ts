/** Thresholds: bound by us and by stock clevis, opened by the other; shares that do not answer. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as status } from "../../../src/cli/commands/status.ts";
import { command as unbind } from "../../../src/cli/commands/unbind/unbind.ts";
import { command as unlock } from "../../../src/cli/commands/unlock.ts";
import { isError, NightlatchError } from "../../../src/core/errors.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import type { System } from "../../../src/system/port.ts";
import { folder, inviteAt, keyArgs, keyFile, makeImage, served } from "../../support/bind-bench.ts";
import { headerDigest, look, TestServer } from "../../support/luks-change.ts";
import { noTangd, startTangd } from "../../support/tangd.ts";
import { runCommand } from "../../support/terminal.ts";
import { opens, PASSPHRASE, runTool } from "../../support/volumes.ts";

const server = served();

/** For tang keys of 521 bits in a header of the usual size three shares are too many. */
const SMALL_KEYS = { exchangeCurve: "P-256" } as const;
const clevisPass = (image: string) => spawnSync("clevis", ["luks", "pass", "-d", image, "-s", "1"]);
const statusOf = async (image: string, state: string, system: System = nodeSystem) => {
  const shown = await runCommand(status, [image, "--crypttab", "/nonexistent", "--state", state], system);
  const [volume] = shown.result["volumes"] as { readonly bindings: Record<string, unknown>[] }[];
  return { lines: shown.lines, bindings: volume?.bindings ?? [] };
};

/** A system from which some servers cannot be reached. */
function without(...urls: readonly string[]): System {
  return {
    ...nodeSystem,
    request: (request) =>
      urls.some((url) => request.url.startsWith(url))
        ? Promise.reject(new NightlatchError("net/unreachable", "nobody there"))
        : nodeSystem.request(request),
  };
}

for (const type of ["luks2", "luks1"] as const) {
  test(`${type}: what we bind to nested shares, stock clevis opens; as long as enough answer`, {
    skip: noTangd,
  }, async () => {
    await using one = await startTangd(SMALL_KEYS);
    await using other = await startTangd(SMALL_KEYS);
    const { image, state } = makeImage(type);
    const pin = [
      "sss",
      "2",
      "latch",
      await inviteAt(server()),
      "(",
      "sss",
      "1",
      "tang",
      one.url,
      "tang",
      other.url,
      ")",
    ];
    const bound = await runCommand(bind, [image, ...pin, ...keyArgs(state)], nodeSystem, { agrees: true });
    assert.equal(bound.result["outcome"], "bound");
    assert.deepEqual(bound.result["unproved"], []);
    const latch = `${server().url}/latch/`;
    const { urls } = bound.result["binding"] as { readonly urls: readonly string[] };
    assert.deepEqual([urls[0]?.startsWith(latch), ...urls.slice(1)], [true, one.url, other.url]);
    assert.match(
      bound.lines[0] ?? "",
      /: 2 of \[\S+\/latch\/\S+, 1 of \[\S+, \S+\]\], keyslot 1\. Each of them was asked/,
    );

    const pass = clevisPass(image);
    assert.equal(pass.status, 0, String(pass.stderr));
    assert.ok(opens(image, pass.stdout, 1) && opens(image, PASSPHRASE));
    await one[Symbol.asyncDispose]();
    assert.deepEqual(clevisPass(image).stdout, pass.stdout);
    assert.equal((await runCommand(unlock, [image, "--test"], nodeSystem)).status, 0);

    const shown = await statusOf(image, state);
    const text = shown.lines.join("\n");
    assert.match(text, /binding +sss \S+ \S+ \S+, keyslot 1, token \d: opens\n +2 of 2 open it; 2 answer now\n/);
    assert.match(text, /latch \S+: answers\n +sss: answers\n +1 of 2 open it; 1 answers now\n/);
    assert.match(text, /tang \S+: does not answer now\n +\S+ .*\[net\/unreachable\]\n +tang \S+: answers/);
    const [binding] = shown.bindings;
    const shares = binding?.["shares"] as Record<string, unknown>[];
    assert.deepEqual(
      [binding?.["threshold"], binding?.["opens"], shares.map(({ answers }) => answers)],
      [2, true, [true, true]],
    );
    const nested = shares[1]?.["shares"] as Record<string, unknown>[];
    assert.deepEqual(
      nested.map(({ answers, urls }) => [answers, urls]),
      [
        [false, [one.url]],
        [true, [other.url]],
      ],
    );

    // It is the same in another order and with other spellings, and is replaced as one.
    const again = ["sss", "2", "(", "sss", "1", "tang", `${other.url}/`, "tang", one.url, ")", "latch"];
    const twice = await runCommand(bind, [image, ...again, "--state", state], nodeSystem);
    assert.equal(twice.result["outcome"], "bound-already");
    const removed = await runCommand(unbind, [image, "sss", ...keyArgs(state)], nodeSystem);
    assert.equal((removed.result["removed"] as unknown[]).length, 1);
    assert.deepEqual((await look({ image, stateFolder: state, server: new TestServer() })).slots, [0]);
  });

  test(`${type}: what stock clevis bound to nested shares opens, shows and is bound already`, {
    skip: noTangd,
  }, async () => {
    await using one = await startTangd(SMALL_KEYS);
    await using other = await startTangd(SMALL_KEYS);
    const { image, state } = makeImage(type);
    const config = { t: 2, pins: { tang: [{ url: one.url }], sss: { t: 1, pins: { tang: [{ url: other.url }] } } } };
    const text = JSON.stringify(config);
    runTool(["clevis", "luks", "bind", "-y", "-f", "-k", keyFile, "-d", image, "sss", text]);
    assert.equal((await runCommand(unlock, [image, "--test"], nodeSystem)).status, 0);
    const file = join(folder, "sss.json");
    writeFileSync(file, text);
    const before = await headerDigest(image);
    for (const words of [[text], ["--config", file]]) {
      const twice = await runCommand(bind, [image, "sss", ...words, "--state", state], nodeSystem);
      assert.equal(twice.result["outcome"], "bound-already");
    }
    assert.equal(await headerDigest(image), before);
    // Another threshold is another binding.
    const flat = ["sss", "1", "tang", one.url, "tang", other.url];
    const bound = await runCommand(bind, [image, ...flat, ...keyArgs(state)], nodeSystem, { agrees: true });
    assert.equal(bound.result["outcome"], "bound");
  });
}

test("a share that answers no more once it was sealed to does not keep from binding, and is told", {
  skip: noTangd,
}, async () => {
  await using one = await startTangd(SMALL_KEYS);
  await using other = await startTangd(SMALL_KEYS);
  const { image, state } = makeImage("luks2");
  const away: System = {
    ...nodeSystem,
    request: (request) => (request.url.includes("/rec/") ? without(other.url) : nodeSystem).request(request),
  };
  const args = (threshold: string) => [image, "sss", threshold, "tang", one.url, "tang", other.url, ...keyArgs(state)];
  const before = await headerDigest(image);
  await assert.rejects(runCommand(bind, args("2"), away, { agrees: true }), (error) =>
    isError(error, "net/unreachable"),
  );
  assert.deepEqual(await look({ image, stateFolder: state, server: new TestServer() }), {
    slots: [0],
    tokens: [],
    files: [],
  });
  assert.notEqual(before, "");
  const bound = await runCommand(bind, args("1"), away, { agrees: true });
  assert.equal(bound.result["outcome"], "bound");
  const pin = `tang at ${new URL(other.url).host}`;
  assert.deepEqual(bound.result["unproved"], [{ pin, code: "net/unreachable", message: "nobody there" }]);
  assert.ok(bound.lines.includes(`Not proved: ${pin}: nobody there`));
});

test("a share that answers with another key takes the binding back, though the others open it", {
  skip: noTangd,
}, async () => {
  await using one = await startTangd(SMALL_KEYS);
  await using other = await startTangd(SMALL_KEYS);
  const { image, state } = makeImage("luks2");
  const wrong: System = {
    ...nodeSystem,
    request: (request) => {
      const isAsked = request.method === "POST" && request.url.startsWith(other.url);
      // A point of the curve that is not the answer.
      const body = JSON.stringify({
        kty: "EC",
        crv: "P-256",
        x: "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
        y: "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU",
      });
      if (!isAsked) return nodeSystem.request(request);
      return Promise.resolve({ status: 200, contentType: "application/jwk+json", body: Buffer.from(body) });
    },
  };
  const args = [image, "sss", "1", "tang", one.url, "tang", other.url, ...keyArgs(state)];
  await assert.rejects(runCommand(bind, args, wrong, { agrees: true }), (error) => {
    assert.ok(isError(error, "pin/wrong-key"));
    assert.equal(error.meaning, "The binding was not made; the volume is as it was.");
    return true;
  });
  assert.deepEqual(await look({ image, stateFolder: state, server: new TestServer() }), {
    slots: [0],
    tokens: [],
    files: [],
  });
});

test("shares that the header has no room for are refused before it is changed", { skip: noTangd }, async () => {
  await using tangd = await startTangd();
  const { image, state } = makeImage("luks2");
  const before = await headerDigest(image);
  const many = Array.from({ length: 8 }, () => ["tang", tangd.url]).flat();
  const args = [image, "sss", "2", ...many, ...keyArgs(state)];
  await assert.rejects(runCommand(bind, args, nodeSystem, { agrees: true }), (error) => {
    assert.ok(isError(error, "luks/no-token-slot"));
    assert.match(error.message, /takes \d+ bytes of the header's metadata, and \d+ are left$/);
    return true;
  });
  assert.equal(await headerDigest(image), before);
});

test("options of one pin are refused where there are several", async () => {
  const { image, state } = makeImage("luks2");
  const two = ["sss", "1", "tang", "http://a.example", "tang", "http://b.example"];
  const args = [image, ...two, "--thumbprint", "A".repeat(43), ...keyArgs(state)];
  await assert.rejects(runCommand(bind, args, nodeSystem), {
    code: "usage/wrong",
    message: "bind: --thumbprint goes with one tang, and there are 2",
    remedy: "Say thp=THP behind each of them.",
  });
  await assert.rejects(runCommand(bind, [image, "latch", "--thumbprint", "x", ...keyArgs(state)], nodeSystem), {
    message: "bind: --thumbprint goes with one tang, and there are 0",
  });
});
