import type { KeyCommand } from "../formats/agent-config.ts";
import { type CrypttabEntry, findOption, isStartedByHand } from "../formats/crypttab.ts";

/** What happens to a volume at the next boot, as far as crypttab and the bindings tell. */
export interface Outlook {
  /** `open`: by itself. `ask`: somebody types the passphrase. `closed`: nothing opens it. `unknown`: it cannot be told from here. */
  readonly will: "open" | "ask" | "closed" | "unknown";
  readonly text: string;
}

export interface BootFacts {
  /** null: not in crypttab. */
  readonly entry: CrypttabEntry | null;
  readonly agentSocket: string;
  /** The command that agent.toml names for it. */
  readonly command: KeyCommand | null;
  /** Servers of bindings that open the volume now; null where none does that could be tried, and some could not. */
  readonly opening: readonly string[] | null;
  readonly hasBindings: boolean;
  /** Of the key path that systemd will use; null where there is nothing. */
  readonly key: { readonly path: string; readonly isSocket: boolean } | null;
  /** Stock clevis answers systemd's passphrase prompts. */
  readonly clevisAnswers: boolean;
}

export function outlookOf(facts: BootFacts): Outlook {
  const { entry, key, command } = facts;
  if (entry === null)
    return { will: "closed", text: "is not in crypttab: nothing opens it, unless the initramfs does" };
  if (isStartedByHand(entry)) return { will: "closed", text: "stays closed until it is asked for (noauto)" };
  const path = entry.key ?? key?.path ?? null;
  if (path === facts.agentSocket) {
    if (command === null) return byBindings(facts, "the agent asks");
    return { will: "unknown", text: `opens if ${command.argv[0]} prints its key, which the agent runs` };
  }
  if (path !== null) return byKey(path, key);
  const device = findOption(entry, "tpm2-device", "pkcs11-uri", "fido2-device");
  if (device !== undefined)
    return { will: "unknown", text: `opens if systemd can use ${device.name}=${device.value ?? ""}` };
  if (facts.hasBindings && facts.clevisAnswers) return byBindings(facts, "clevis asks");
  const unused = facts.hasBindings
    ? `; its bindings are not used, for its key in crypttab is not ${facts.agentSocket}`
    : "";
  return { will: "ask", text: `asks for the passphrase${unused}` };
}

function byBindings({ opening, hasBindings }: BootFacts, who: string): Outlook {
  if (!hasBindings) return { will: "ask", text: "asks for the passphrase: it has no binding" };
  if (opening === null) return { will: "unknown", text: `opens if ${who} and gets an answer, which was not tried` };
  if (opening.length === 0) return { will: "ask", text: "asks for the passphrase: no binding opens it now" };
  return { will: "open", text: `opens by itself: ${who} ${opening.join(", ")}` };
}

function byKey(path: string, key: BootFacts["key"]): Outlook {
  if (key === null) return { will: "ask", text: `asks for the passphrase: ${path} is not there` };
  if (key.isSocket) return { will: "unknown", text: `opens if whoever answers on ${path} knows its key` };
  return { will: "open", text: `opens with the key in ${path}, if that is right` };
}
