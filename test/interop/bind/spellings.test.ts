/**
 * However an address is spelt, by us or by stock clevis, it is one server: no second binding in
 * silence, and unbind finds it.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as status } from "../../../src/cli/commands/status.ts";
import { command as unbind } from "../../../src/cli/commands/unbind/unbind.ts";
import { isError } from "../../../src/core/errors.ts";
import { canonicalAddress } from "../../../src/formats/network/server-address.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { inviteAt, keyArgs, keyFile, makeImage, served } from "../../support/bind-bench.ts";
import { headerDigest } from "../../support/luks-change.ts";
import { noTangd, startTangd, type Tangd } from "../../support/tangd.ts";
import { runCommand } from "../../support/terminal.ts";
import { runTool } from "../../support/volumes.ts";

const server = served();
let tangd: Tangd | null = null;
before(async () => {
  if (noTangd === false) tangd = await startTangd();
});
after(async () => {
  await tangd?.[Symbol.asyncDispose]();
});

const clevisBind = (image: string, url: string) =>
  runTool(["clevis", "luks", "bind", "-y", "-f", "-k", keyFile, "-d", image, "tang", JSON.stringify({ url })]);

/** Spellings of http://127.0.0.1:PORT[/PATH] that curl, and so stock clevis, takes. */
const SPELLINGS: Readonly<Record<string, (url: string) => string>> = {
  plain: (url) => url,
  "a slash at the end": (url) => `${url}/`,
  "an upper-case scheme": (url) => url.replace("http:", "HTTP:"),
  "a short IP address": (url) => url.replace("127.0.0.1", "127.1"),
  "a number for the IP address": (url) => url.replace("127.0.0.1", "0x7f000001"),
  "no scheme": (url) => url.replace("http://", ""),
};

for (const [what, spell] of Object.entries(SPELLINGS)) {
  test(`a tang that stock clevis bound to, with ${what}`, { skip: noTangd }, async () => {
    const { image, state } = makeImage("luks2");
    const url = tangd?.url ?? "";
    clevisBind(image, spell(url));
    const bound = await headerDigest(image);
    for (const again of Object.values(SPELLINGS).map((other) => other(url))) {
      if (!again.includes("://")) continue; // whoever writes a header says which scheme
      const done = await runCommand(bind, [image, "tang", again, "--state", state], nodeSystem);
      assert.equal(done.result["outcome"], "bound-already", again);
    }
    assert.equal(await headerDigest(image), bound);
    const other = Object.values(SPELLINGS).at(-1) ?? spell;
    const removed = await runCommand(unbind, [image, "tang", other(url), ...keyArgs(state)], nodeSystem);
    assert.equal((removed.result["removed"] as unknown[]).length, 1);
  });
}

for (const [what, spell] of Object.entries(SPELLINGS)) {
  test(`a latch that is bound with ${what} is found by its server, its own address and its kind`, async () => {
    const { image, state } = makeImage("luks1");
    const first = await runCommand(bind, [image, "latch", await inviteAt(server()), ...keyArgs(state)], nodeSystem);
    const [latch = ""] = (first.result["binding"] as { urls: string[] }).urls;
    if (what !== "plain") {
      await runCommand(unbind, [image, ...keyArgs(state)], nodeSystem);
      clevisBind(image, spell(latch));
    }
    const bound = await headerDigest(image);
    const again = await runCommand(bind, [image, "latch", "--state", state], nodeSystem);
    assert.equal(again.result["outcome"], "bound-already");
    const shown = await runCommand(status, [image, "--offline", "--crypttab", "/nonexistent"], nodeSystem);
    assert.match(shown.lines.join("\n"), /binding {4}latch /);
    const { url } = server();
    for (const args of [["tang", url], ["latch", "http://127.0.0.1:1"], [`${latch}x`]]) {
      await assert.rejects(runCommand(unbind, [image, ...args, "--state", state], nodeSystem), (error) =>
        isError(error, "luks/not-bound"),
      );
    }
    assert.equal(await headerDigest(image), bound);
    for (const args of [[url], ["latch", `${url}/`], ["latch", latch], [spell(url)]]) {
      await assert.rejects(
        runCommand(unbind, [image, ...args, "--state", state], nodeSystem),
        /a passphrase was asked for/,
        args.join(" "),
      );
    }
    const removed = await runCommand(unbind, [image, "latch", spell(url), ...keyArgs(state)], nodeSystem);
    assert.equal((removed.result["removed"] as unknown[]).length, 1);
  });
}

test("the one spelling is what goes into the header", { skip: noTangd }, async () => {
  const { image, state } = makeImage("luks2");
  const url = tangd?.url ?? "";
  const typed = `${url.replace("http", "HTTP").replace("127.0.0.1", "127.1")}//`;
  const bound = await runCommand(bind, [image, "tang", typed, ...keyArgs(state)], nodeSystem, { agrees: true });
  assert.deepEqual((bound.result["binding"] as { urls: string[] }).urls, [canonicalAddress(url)]);
});

test("--replace that replaces nothing says so, and what stays", { skip: noTangd }, async () => {
  const { image, state } = makeImage("luks2");
  const url = tangd?.url ?? "";
  const replace = (...args: readonly string[]) =>
    runCommand(bind, [image, ...args, "--replace", ...keyArgs(state)], nodeSystem, { agrees: true });
  const first = await replace("latch", await inviteAt(server()));
  const said = ({ hints }: { readonly hints: readonly string[] }) => hints.filter((hint) => /replaced/.test(hint));
  assert.deepEqual(said(first), [
    `Nothing is replaced: ${image} has no binding to ${server().url}. It has none at all.`,
  ]);
  const [latch = ""] = (first.result["binding"] as { urls: string[] }).urls;
  const second = await replace("tang", url);
  assert.deepEqual(said(second), [
    `Nothing is replaced: ${image} has no binding to ${url}. These stay: latch ${latch}, keyslot 1.`,
  ]);
  assert.deepEqual(second.result["replaced"], []);
  assert.deepEqual(said(await replace("tang", `${url}/`)), []);
});
