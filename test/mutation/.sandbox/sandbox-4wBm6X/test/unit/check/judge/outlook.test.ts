// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BindingFacts, CheckFacts, EarlyFacts, VolumeFacts } from "../../../../src/check/judge/facts.ts";
import { judge } from "../../../../src/check/judge/judge.ts";
import { foretell, type Outlook } from "../../../../src/check/judge/outlook.ts";
import { BINDING, EARLY, GOOD_LINE, machine, SOCKET, SYSTEMD, volume } from "../../../support/machine-facts.ts";

interface Given extends Partial<Parameters<typeof foretell>[2]> {
  readonly line?: string;
  readonly volume?: Partial<VolumeFacts>;
  readonly machine?: Partial<CheckFacts>;
}

function outlook({
  line = GOOD_LINE,
  volume: more = {},
  machine: around = {},
  program = null,
  key = null,
}: Given): Outlook {
  const one = volume(line, more);
  return foretell(machine({ ...around, volumes: [one] }), one, { program, key });
}

const none = { bindings: [] as BindingFacts[] };
const refused = { bindings: [{ ...BINDING, opens: false }] };
const untried = { bindings: [{ ...BINDING, opens: null }] };
const byPerson = { bindings: [{ ...BINDING, kind: "tpm2", urls: [], needsPerson: true, opens: null }] };
const card = { bindings: [{ ...BINDING, kind: "pkcs11", urls: [], target: "pkcs11:token=ops" }] };
const boot = (more: Partial<NonNullable<EarlyFacts["boot"]>> = {}): { early: EarlyFacts } => {
  assert.ok(EARLY.boot !== null);
  return { early: { ...EARLY, boot: { ...EARLY.boot, ...more } } };
};
const ROOT = "data UUID=1234 none luks,initramfs";
const NETWORK = "luks,_netdev,nofail";
const lacking = [{ ...BINDING, lacks: [{ code: "clevis" as const, what: "it holds no clevis", remedy: "x" }] }];

test("the next boot is foretold from what crypttab says, the initramfs holds, and the bindings do now", () => {
  const cases: readonly (readonly [Given, Outlook["will"], RegExp])[] = [
    [{}, "open", /^opens by itself: the agent asks http:\/\/keys:7654\/latch\/x$/],
    [{ line: `${GOOD_LINE},noauto`, volume: { mounts: [] } }, "closed", /noauto/],
    [{ line: `${GOOD_LINE},noauto` }, "open", /the agent asks/],
    [{ volume: refused }, "ask", /no binding opens it now/],
    [{ volume: untried }, "unknown", /which was not tried$/],
    [{ volume: none }, "ask", /it has no binding$/],
    [{ volume: byPerson }, "ask", /opens by a PIN alone/],
    [{ volume: card }, "open", /^opens by itself: the agent asks pkcs11:token=ops$/],
    [
      { program: "curl", volume: { ...none, command: { program: "curl", isThere: true } } },
      "unknown",
      /^opens if curl prints/,
    ],
    [{ line: "data UUID=1234 none luks", key: { path: SOCKET, kind: "socket" } }, "open", /the agent asks/],
    [{ line: "data UUID=1234 /root/key luks" }, "ask", /\/root\/key is not there/],
    [
      { line: "data UUID=1234 /root/key luks", key: { path: "/root/key", kind: "file" } },
      "open",
      /the key in \/root\/key/,
    ],
    [{ line: "data UUID=1234 /run/x luks", key: { path: "/run/x", kind: "socket" } }, "unknown", /whoever answers/],
    [{ line: "data UUID=1234 - luks,tpm2-device=auto" }, "unknown", /tpm2-device=auto/],
    [{ line: `data UUID=1234 none ${NETWORK}`, machine: { clevisAnswers: true } }, "open", /clevis asks/],
    [{ line: "data UUID=1234 none luks" }, "ask", /its bindings are not used/],
    // What check calls an error does not open by itself.
    [{ line: `data UUID=1234 ${SOCKET} luks` }, "unknown", /only if the network is up early enough/],
    [{ machine: { systemd: { ...SYSTEMD, cycles: ["a cycle"] } } }, "ask", /systemd a cycle/],
    [{ machine: { socket: null } }, "ask", /agent\.sock there is no socket/],
    [{ machine: { systemd: null, socket: null } }, "open", /./],
    [
      { volume: { mounts: [] }, machine: { systemd: { ...SYSTEMD, startsRemote: false } } },
      "closed",
      /nothing starts it/,
    ],
    // The initramfs.
    [{ line: ROOT, volume: boot() }, "open", /^opens by itself: clevis in the initramfs asks http:\/\/keys/],
    [
      { line: ROOT, volume: { ...boot(), bindings: lacking } },
      "ask",
      /^asks in the initramfs, where it holds no clevis/,
    ],
    [{ line: ROOT, volume: { ...boot(), ...none } }, "ask", /in the initramfs: it has no binding/],
    [{ line: ROOT, volume: { ...boot(), ...untried } }, "unknown", /not tried/],
    [{ line: ROOT, volume: { ...boot({ isCertain: false }) } }, "unknown", /^opens by itself if Debian is what boots/],
    [{ line: ROOT, volume: { ...boot({ opensIt: false }) } }, "closed", /the next boot does not find it/],
    [{ line: `data UUID=1234 ${SOCKET} luks`, volume: boot({ opensIt: false }) }, "closed", /does not start any more/],
    [{ line: ROOT, volume: { ...boot({ keyscript: "x" }) } }, "unknown", /its keyscript x/],
    [{ line: ROOT, volume: { ...boot({ keyFile: "/k" }) } }, "unknown", /its key file \/k/],
    [{ line: ROOT, volume: { early: { ...EARLY, boot: null } } }, "unknown", /cannot be told here/],
  ];
  for (const [given, will, text] of cases) {
    const told = outlook(given);
    assert.equal(told.will, will, `${JSON.stringify(given)}: ${told.text}`);
    assert.match(told.text, text);
  }
});

test("status never says that a volume opens by itself where check finds an error", () => {
  const lines = ["none", SOCKET, "/etc/key", "-"].flatMap((key) =>
    [
      "luks",
      NETWORK,
      "luks,_netdev",
      `${NETWORK},key-slot=7`,
      `${NETWORK},keyfile-size=1`,
      `${NETWORK},headless=1`,
      `${NETWORK},tpm2-device=auto`,
    ].map((options) => `data UUID=1234 ${key} ${options}`),
  );
  const bindings = [[], [BINDING], lacking, refused.bindings, untried.bindings, [...refused.bindings, BINDING]];
  const stages = [null, EARLY, boot({ opensIt: false }).early, { ...EARLY, boot: null }];
  const arounds: Partial<CheckFacts>[] = [
    {},
    { clevisAnswers: true },
    { socket: null },
    { systemd: { ...SYSTEMD, startsRemote: false } },
  ];
  let opens = 0;
  for (const line of lines)
    for (const bound of bindings)
      for (const early of stages)
        for (const mounts of [[], volume().mounts])
          for (const around of arounds) {
            const one = volume(line, { bindings: bound, early, mounts });
            const facts = machine({ ...around, volumes: [one] });
            const { will, text } = foretell(facts, one, {
              program: null,
              key: one.entry.key === null ? null : { path: one.entry.key, kind: "file" },
            });
            if (will !== "open") continue;
            opens++;
            // The agent's socket is nothing to a volume whose key is not the agent's.
            const errors = judge(facts).filter(({ severity, subject }) => severity === "error" && subject !== SOCKET);
            assert.deepEqual(errors, [], `${line}: ${text}`);
          }
  assert.ok(opens > 20, String(opens));
});
