/** When a PIN is tried, and which. The card is played: it counts what it was asked. */
// @ts-nocheck

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { Secret } from "../../../../src/core/secret.ts";
import {
  type CardAnswer,
  type CardOutcome,
  type CardRequest,
  formatCardAnswer,
  parseCardRequest,
} from "../../../../src/formats/pkcs11/exchange.ts";
import { parsePkcs11Uri } from "../../../../src/formats/pkcs11/uri.ts";
import { type CardPower, useCard } from "../../../../src/pins/pkcs11/card.ts";
import type { RunRequest } from "../../../../src/system/port.ts";

const limits = { timeoutMs: 1000 };
const TASK = { kind: "describe" } as const;
let cards = 0;

interface Play {
  readonly answer: (request: CardRequest) => CardOutcome;
  readonly files?: Readonly<Record<string, string>>;
  readonly typed?: string;
  readonly exposed?: string;
}

/** Each card has a name of its own: what was wrong is remembered for the life of a process. */
function play({ answer, files = {}, typed, exposed }: Play) {
  const token = { label: `card${cards++}`, serial: "0f" };
  const tried: (string | null)[] = [];
  const asked: string[] = [];
  const power: CardPower = {
    random: randomBytes,
    realPath: async (path) => path,
    findExposures: async (list) =>
      list
        .filter(({ path }) => path === exposed)
        .map(({ path }) => ({ path, kind: "file", flaw: "read", mode: 0o644, uid: 0 })),
    readFileIfPresent: async (path) => (files[path] === undefined ? null : Buffer.from(files[path])),
    run: async ({ stdin }: RunRequest) => {
      const request = parseCardRequest(Buffer.from(stdin ?? []));
      const pin = request.pin === null ? null : Buffer.from(request.pin).toString();
      tried.push(request.attended || pin === null ? pin : `${pin} alone`);
      const given: CardAnswer = { outcome: answer(request), token, secrets: [] };
      return {
        status: null,
        signal: "SIGKILL",
        stdout: Buffer.from(formatCardAnswer(given).reveal()),
        stderr: Buffer.alloc(0),
      };
    },
    ...(typed === undefined
      ? {}
      : {
          askPin: async ({ name }) => {
            asked.push(name);
            return Secret.copy(Buffer.from(typed));
          },
        }),
  };
  const use = (query = "", folder?: string) => {
    if (folder === undefined) delete process.env["CREDENTIALS_DIRECTORY"];
    else process.env["CREDENTIALS_DIRECTORY"] = folder;
    return useCard(
      power,
      parsePkcs11Uri(`pkcs11:token=${token.label}?module-path=/usr/lib/x.so${query}`),
      TASK,
      limits,
    );
  };
  return { use, tried, asked, token };
}

const wants =
  (right: string) =>
  ({ pin }: CardRequest): CardOutcome =>
    pin === null ? "pin-needed" : Buffer.from(pin).toString() === right ? "done" : "wrong-pin";

const FOLDER = "/run/credentials/nightlatch-agent.service";
const ANY = `${FOLDER}/nightlatch.pkcs11-pin`;

test("a card that wants no PIN is given none, and nobody is asked", async () => {
  const { use, tried, asked } = play({ answer: () => "done", typed: "1234", files: { [ANY]: "9999" } });
  await use("", FOLDER);
  assert.deepEqual([tried, asked], [[null], []]);
});

test("a PIN comes from the URI, its file, a credential of the card, one of any card, a person, in this order", async () => {
  const pinFile = "/etc/nightlatch/pins/ops";
  const files = { [pinFile]: "2222\n", [`${ANY}.0f`]: "3333", [ANY]: "4444" };
  const cases = [
    ["&pin-value=1111", FOLDER, files, ["1111 alone"]],
    [`&pin-source=file:${pinFile}`, FOLDER, files, ["2222 alone"]],
    ["", FOLDER, files, [null, "3333 alone"]],
    ["", FOLDER, { [ANY]: "4444" }, [null, "4444 alone"]],
    ["", undefined, files, [null, "5555"]],
  ] as const;
  for (const [query, folder, given, expected] of cases) {
    const right = String(expected.at(-1)).slice(0, 4);
    const { use, tried } = play({ answer: wants(right), files: given, typed: "5555" });
    await use(query, folder);
    assert.deepEqual(tried, expected);
  }
});

test("with nobody to ask, and no PIN anywhere, none is tried", async () => {
  const { use, tried } = play({ answer: wants("1234") });
  await assert.rejects(use(), { code: "card/pin-needed" });
  assert.deepEqual(tried, [null]);
});

test("a PIN that was wrong is not tried again, wherever it comes from; another one is", async () => {
  const files: Record<string, string> = { [ANY]: "0000" };
  const { use, tried } = play({ answer: wants("1234"), files });
  await assert.rejects(use("", FOLDER), { code: "card/wrong-pin" });
  await assert.rejects(use("", FOLDER), { code: "card/wrong-pin", message: /was wrong before/ });
  files[ANY] = "1234";
  await use("", FOLDER);
  assert.deepEqual(tried, [null, "0000 alone", null, null, "1234 alone"]);
});

test("a card that took a PIN is not asked again whether it wants one", async () => {
  const { use, tried, asked, token } = play({ answer: wants("1234"), typed: "1234" });
  await use();
  await use();
  assert.deepEqual(tried, [null, "1234", "1234"]);
  assert.deepEqual(asked, [`the token "${token.label}"`, `the token "${token.label}"`]);
});

test("a PIN in the URI that was wrong is not tried again", async () => {
  const { use, tried } = play({ answer: wants("1234") });
  for (let turn = 0; turn < 3; turn++) await assert.rejects(use("&pin-value=0000"), { code: "card/wrong-pin" });
  assert.deepEqual(tried, ["0000 alone"]);
});

test("two who use a card side by side with a wrong PIN cost one try", async () => {
  const { use, tried } = play({ answer: wants("1234"), typed: "0000" });
  const outcomes = await Promise.allSettled([use(), use(), use()]);
  assert.ok(outcomes.every(({ status }) => status === "rejected"));
  assert.equal(tried.filter((pin) => pin !== null).length, 1);
});

test("where a card says that tries were lost, a credential gives way to a person, and to nobody", async () => {
  const low = ({ pin, attended }: CardRequest): CardOutcome =>
    pin === null ? "pin-needed" : attended ? "done" : "few-tries";
  const there = play({ answer: low, files: { [ANY]: "1234" }, typed: "1234" });
  await there.use("", FOLDER);
  assert.deepEqual(there.tried, [null, "1234 alone", "1234"]);
  const nobody = play({ answer: low, files: { [ANY]: "1234" } });
  await assert.rejects(nobody.use("", FOLDER), { code: "card/few-tries" });
});

test("a file of a PIN is refused outside its folders, where others can read it, and where it holds no PIN", async () => {
  for (const path of [
    "/etc/shadow",
    "/etc/nightlatch/pins/../../shadow",
    "/run/credentials/../x",
    "relative",
    "|cat",
  ]) {
    const { use, tried } = play({ answer: wants("1234"), files: { [path]: "1234" }, typed: "1234" });
    await assert.rejects(
      use(`&pin-source=${path.startsWith("/") ? `file:${path}` : path}`),
      { code: "card/pin-needed" },
      path,
    );
    assert.deepEqual(tried, []);
  }
  const path = "/etc/nightlatch/pins/ops";
  const open = play({ answer: wants("1234"), files: { [path]: "1234" }, exposed: path });
  await assert.rejects(open.use(`&pin-source=file:${path}`), { code: "card/pin-needed", message: /can read/ });
  for (const content of ["", "\n", "12\x0034", "1".repeat(257)]) {
    const { use, tried } = play({ answer: wants("1234"), files: { [path]: content } });
    await assert.rejects(use(`&pin-source=file:${path}`), { code: "card/pin-needed" }, JSON.stringify(content));
    assert.deepEqual(tried, []);
  }
  const missing = play({ answer: wants("1234") });
  await assert.rejects(missing.use(`&pin-source=file:${path}`), { code: "card/pin-needed", message: /is not there/ });
});

test("every outcome has its own error, and none of them says a PIN", async () => {
  const codes: Readonly<Record<Exclude<CardOutcome, "done" | "pin-needed">, string>> = {
    "no-driver": "card/no-driver",
    absent: "card/absent",
    "several-tokens": "card/ambiguous",
    "no-key": "card/no-key",
    "several-keys": "card/ambiguous",
    "pin-pad": "card/unsupported",
    "wrong-pin": "card/wrong-pin",
    "few-tries": "card/few-tries",
    "last-try": "card/few-tries",
    locked: "card/locked",
    unsupported: "card/unsupported",
    failed: "card/failed",
  };
  for (const [outcome, code] of Object.entries(codes)) {
    const { use } = play({ answer: () => outcome as CardOutcome });
    await assert.rejects(use("&pin-value=987654"), (error) => {
      assert.ok(error instanceof NightlatchError);
      assert.equal(error.code, code, outcome);
      assert.doesNotMatch(`${error.message} ${error.meaning} ${error.remedy}`, /987654/);
      return error.meaning !== undefined && error.remedy !== undefined;
    });
  }
});
