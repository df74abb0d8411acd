import assert from "node:assert/strict";
import { test } from "node:test";
import { type BootFacts, outlookOf } from "../../src/cli/boot-outlook.ts";
import { parseCrypttab } from "../../src/formats/crypttab.ts";

const AGENT = "/run/nightlatch/agent.sock";

function facts(line: string | null, more: Partial<BootFacts> = {}): BootFacts {
  const entry = line === null ? null : (parseCrypttab(Buffer.from(line)).entries[0] ?? null);
  const rest = { agentSocket: AGENT, command: null, opening: [], hasBindings: false, key: null, clevisAnswers: false };
  return { entry, ...rest, ...more };
}

test("the next boot is foretold from crypttab and what the bindings do now", () => {
  const bound = { hasBindings: true, opening: ["http://keys/latch/x"] };
  const command = { argv: ["curl", "x"] as const, timeoutMs: 1, stripNewline: false, refusalStatuses: [] };
  const cases: readonly (readonly [BootFacts, string, string])[] = [
    [facts(null), "closed", "is not in crypttab: nothing opens it, unless the initramfs does"],
    [facts(`a /dev/b ${AGENT} luks,noauto`, bound), "closed", "stays closed until it is asked for (noauto)"],
    [facts(`a /dev/b ${AGENT} luks`, bound), "open", "opens by itself: the agent asks http://keys/latch/x"],
    [
      facts(`a /dev/b ${AGENT} luks`, { ...bound, opening: [] }),
      "ask",
      "asks for the passphrase: no binding opens it now",
    ],
    [
      facts(`a /dev/b ${AGENT} luks`, { ...bound, opening: null }),
      "unknown",
      "opens if the agent asks and gets an answer, which was not tried",
    ],
    [facts(`a /dev/b ${AGENT} luks`), "ask", "asks for the passphrase: it has no binding"],
    [facts(`a /dev/b ${AGENT} luks`, { command }), "unknown", "opens if curl prints its key, which the agent runs"],
    [
      facts("a /dev/b none luks", { ...bound, key: { path: AGENT, isSocket: true } }),
      "open",
      "opens by itself: the agent asks http://keys/latch/x",
    ],
    [facts("a /dev/b /root/key luks"), "ask", "asks for the passphrase: /root/key is not there"],
    [
      facts("a /dev/b /root/key luks", { key: { path: "/root/key", isSocket: false } }),
      "open",
      "opens with the key in /root/key, if that is right",
    ],
    [
      facts("a /dev/b /run/other luks", { key: { path: "/run/other", isSocket: true } }),
      "unknown",
      "opens if whoever answers on /run/other knows its key",
    ],
    [facts("a /dev/b - luks,tpm2-device=auto"), "unknown", "opens if systemd can use tpm2-device=auto"],
    [
      facts("a /dev/b none luks", { ...bound, clevisAnswers: true }),
      "open",
      "opens by itself: clevis asks http://keys/latch/x",
    ],
    [facts("a /dev/b none luks"), "ask", "asks for the passphrase"],
    [
      facts("a /dev/b none luks", bound),
      "ask",
      `asks for the passphrase; its bindings are not used, for its key in crypttab is not ${AGENT}`,
    ],
  ];
  for (const [given, will, text] of cases) assert.deepEqual(outlookOf(given), { will, text });
});
