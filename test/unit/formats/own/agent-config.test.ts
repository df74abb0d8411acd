import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isError, NightlatchError } from "../../../../src/core/errors.ts";
import { AGENT_CONFIG_LIMIT_BYTES } from "../../../../src/formats/own/agent-config.ts";
import { parseAgentConfig } from "../../../../src/formats/own/agent-config-file.ts";

const parse = (text: string) => parseAgentConfig(Buffer.from(text), "agent.toml");

test("an empty file is the defaults", () => {
  assert.deepEqual(parse(""), {
    timeoutMs: 60_000,
    trust: "first-use",
    volumes: new Map(),
    heartbeat: HEARTBEAT,
    tether: null,
    witness: null,
  });
});

const HEARTBEAT = { isSaid: false, intervalMs: 60_000, servers: null };

test("heartbeats go where it is said, as often as it is said", () => {
  const heartbeat = (text: string) => parse(`[heartbeat]\n${text}`).heartbeat;
  const SAID = { ...HEARTBEAT, isSaid: true };
  assert.deepEqual(heartbeat(""), SAID);
  assert.deepEqual(heartbeat('interval = "5m"'), { ...SAID, intervalMs: 300_000 });
  const servers = ["http://a:7654", "https://b/keys"];
  assert.deepEqual(heartbeat(`servers = ${JSON.stringify(servers)}`), { ...SAID, servers });
  for (const wrong of [
    'interval = "4s"',
    'interval = "6m"',
    "interval = 60",
    'servers = ["a"]',
    "servers = 1",
    "x = 1",
  ])
    assert.throws(() => heartbeat(wrong), { code: "agent/bad-config" }, wrong);
});

test("a tether is there where the file says so, and waits for no less than two heartbeats", () => {
  const tether = (text: string) => parse(text).tether;
  assert.deepEqual(tether("[tether]"), { afterMs: null, action: "suspend", volumes: [] });
  const all = '[tether]\nafter = "24h"\naction = "power-off"\nvolumes = ["data"]';
  assert.deepEqual(tether(all), { afterMs: 86_400_000, action: "power-off", volumes: ["data"] });
  const often = '[heartbeat]\ninterval = "5s"\n';
  assert.equal(tether(`${often}[tether]\nafter = "10s"`)?.afterMs, 10_000);
  for (const wrong of [
    '[tether]\nafter = "119s"',
    `${often}[tether]\nafter = "9s"`,
    '[tether]\nafter = "25h"',
    '[tether]\naction = "explode"',
    '[tether]\nvolumes = ["a/b"]',
    '[tether]\nvolumes = "data"',
    "[tether]\nx = 1",
  ])
    assert.throws(() => tether(wrong), { code: "agent/bad-config" }, wrong);
});

test("witnesses are those that are named, all of them where no number is", () => {
  const witness = (text: string) => parse(`[witness]\n${text}`).witness;
  const key = (name: string) => `${name}+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2`;
  const keys = `keys = ${JSON.stringify([key("a/witness"), key("b/witness")])}\n`;
  const both = [key("a/witness"), key("b/witness")];
  assert.deepEqual(witness(keys), { keys: both, need: 2, missing: "tell" });
  assert.deepEqual(witness(`${keys}need = 1\nmissing = "refuse"`), { keys: both, need: 1, missing: "refuse" });
  for (const wrong of [
    "",
    "keys = []",
    `keys = "${key("a")}"`,
    'keys = ["a"]',
    `keys = ["${key("a").replace("+B", "+A")}"]`,
    `keys = ["${key("a b")}"]`,
    `${keys}need = 3`,
    `${keys}need = 0`,
    `${keys}need = 1.5`,
    `${keys}need = "1"`,
    `${keys}missing = "ignore"`,
    `${keys}x = 1`,
    `keys = ${JSON.stringify(Array.from({ length: 9 }, (_, at) => key(`${at}`)))}`,
  ])
    assert.throws(() => witness(wrong), { code: "agent/bad-config" }, wrong);
});

test("a command with its defaults, and with everything said", () => {
  const config = parse(`
    deadline = "2m"
    [volume.one]
    exec = ["curl", "--fail", "https://keys.example.org/one"]
    [volume."luks-9f.c"]
    deadline = "5s"
    exec = ["/usr/local/bin/key"]
    timeout = "1500ms"
    newline = "strip"
    refusal-status = [22, 255]
    [volume.three]
    deadline = "1h"
    trust = "recorded"
  `);
  assert.equal(config.timeoutMs, 120_000);
  assert.deepEqual(Object.fromEntries(config.volumes), {
    one: {
      timeoutMs: 120_000,
      trust: "first-use",
      command: {
        argv: ["curl", "--fail", "https://keys.example.org/one"],
        timeoutMs: 20_000,
        stripNewline: false,
        refusalStatuses: [],
      },
    },
    "luks-9f.c": {
      timeoutMs: 5000,
      trust: "first-use",
      command: { argv: ["/usr/local/bin/key"], timeoutMs: 1500, stripNewline: true, refusalStatuses: [22, 255] },
    },
    three: { timeoutMs: 3_600_000, trust: "recorded", command: null },
  });
});

test("what is trusted is said at the top for all, and for one in its table", () => {
  const config = parse("trust = 'recorded'\n[volume.a]\n[volume.b]\ntrust = 'first-use'");
  assert.equal(config.trust, "recorded");
  assert.deepEqual([config.volumes.get("a")?.trust, config.volumes.get("b")?.trust], ["recorded", "first-use"]);
});

test("each slip is named by its place", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["deadlin = '1s'", "deadlin is not known"],
    ["deadline = 60", 'deadline is not a duration such as "20s"'],
    ["deadline = '1'", 'deadline is not a duration such as "20s"'],
    ["deadline = '-1s'", 'deadline is not a duration such as "20s"'],
    ["deadline = '999ms'", "deadline is not between 1000 ms and 1 h"],
    ["deadline = '61m'", "deadline is not between 1000 ms and 1 h"],
    ["trust = 'never'", "trust is none of first-use, recorded"],
    ["trust = true", "trust is none of first-use, recorded"],
    ["[volume.v]\ntrust = 'recorded'\nexec = ['a']", "volume.v.trust means nothing with exec"],
    ["volume = 1", "volume is not a table"],
    ["volume = [{exec = ['a']}]", "volume is not a table"],
    ["volume = 2001-01-01", "volume is not a table"],
    ["[volume]\nv = 'x'", "volume.v is not a table"],
    ["[volume.v]\nexce = ['a']", "volume.v.exce is not known"],
    ["[volume.'a b']\nexce = ['a']", 'volume."a b".exce is not known'],
    ["[volume.v]\nexec = 'curl x'", "volume.v.exec is not a list of at most 256 texts"],
    ["[volume.v]\nexec = ['curl', 1]", "volume.v.exec is not a list of at most 256 texts"],
    ["[volume.v]\nexec = ['a', \"b\\u0000\"]", "volume.v.exec is not a list of at most 256 texts"],
    ["[volume.v]\nexec = []", "volume.v.exec does not begin with an absolute path or a program's name"],
    ["[volume.v]\nexec = ['']", "volume.v.exec does not begin with an absolute path or a program's name"],
    ["[volume.v]\nexec = ['bin/key']", "volume.v.exec does not begin with an absolute path or a program's name"],
    ["[volume.v]\nexec = ['./key']", "volume.v.exec does not begin with an absolute path or a program's name"],
    ["[volume.v]\nexec = ['a']\nnewline = 'yes'", "volume.v.newline is none of keep, strip"],
    ["[volume.v]\nexec = ['a']\nnewline = true", "volume.v.newline is none of keep, strip"],
    ["[volume.v]\nexec = ['a']\ntimeout = '99ms'", "volume.v.timeout is not between 100 ms and 1 h"],
    [
      "[volume.v]\nexec = ['a']\nrefusal-status = 22",
      "volume.v.refusal-status is not a list of at most 255 exit statuses, 1 to 255",
    ],
    [
      "[volume.v]\nexec = ['a']\nrefusal-status = [0]",
      "volume.v.refusal-status is not a list of at most 255 exit statuses, 1 to 255",
    ],
    [
      "[volume.v]\nexec = ['a']\nrefusal-status = [1.5]",
      "volume.v.refusal-status is not a list of at most 255 exit statuses, 1 to 255",
    ],
    ["[volume.v]\nnewline = 'keep'", "volume.v.newline means nothing without exec"],
    ["[volume.v]\ntimeout = '1s'", "volume.v.timeout means nothing without exec"],
    ["[volume.v]\nrefusal-status = [1]", "volume.v.refusal-status means nothing without exec"],
    ["deadline = '1s'\nhas secret = 'swordfish'", "line 2 is not TOML"],
    ["deadline = '1s'\ndeadline = '2s'", "line 2 is not TOML"],
    ["x".repeat(AGENT_CONFIG_LIMIT_BYTES + 1), "larger than 65536 bytes"],
  ];
  for (const [text, what] of cases) {
    assert.throws(
      () => parse(text),
      (error) => isError(error, "agent/bad-config") && error.message === `agent.toml: ${what}`,
      `${text.slice(0, 80)} → ${what}`,
    );
  }
  assert.throws(() => parseAgentConfig(Buffer.from([0xff]), "agent.toml"), { message: "agent.toml: not UTF-8" });
});

test("names that are JavaScript's own are names like any other", () => {
  const config = parse("[volume.__proto__]\nexec = ['a']\n[volume.constructor]\nexec = ['b']");
  assert.deepEqual([...config.volumes.keys()], ["__proto__", "constructor"]);
  assert.throws(() => parse("[volume.v]\n__proto__ = 1"), { message: "agent.toml: volume.v.__proto__ is not known" });
});

test("any text: a configuration within its bounds, or agent/bad-config", () => {
  const word = fc.constantFrom(
    "deadline",
    "volume",
    "exec",
    "newline",
    "timeout",
    "refusal-status",
    "[volume.a]\n",
    "=",
    '"20s"',
    "['a']",
    "\n",
    ".",
    "{",
    "}",
    "[",
    "]",
    "1",
    "__proto__",
    "'strip'",
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(word, fc.string()), { maxLength: 30 }), (words) => {
      try {
        const { timeoutMs, volumes } = parse(words.join(" "));
        assert.ok(timeoutMs >= 1000 && timeoutMs <= 3_600_000);
        for (const { command } of volumes.values()) assert.ok(command === null || command.argv.length > 0);
      } catch (error) {
        assert.ok(error instanceof NightlatchError && error.code === "agent/bad-config", String(error));
      }
    }),
    { numRuns: 500 },
  );
});
