// @ts-nocheck
import { startOf } from "../../formats/systemd/boot-start.ts";
import { devicePathOf, findOption } from "../../formats/systemd/crypttab.ts";
import { isLuksVolume, isRandomKey, kindOf, placeOf } from "../../formats/systemd/crypttab-places.ts";
import type { KeyPlace } from "../../host/crypttab.ts";
import type { BindingFacts, CheckFacts, EarlyFacts, VolumeFacts } from "./facts.ts";
import type { Finding } from "./finding.ts";
import { AGENT_UNIT, judgeMachine } from "./machine.ts";
import { BY_PERSON, isAnswered, judgeVolume } from "./volume.ts";

/** What happens to a volume at the next boot, as far as it can be told from here. */
export interface Outlook {
  /**
   * `open`: by itself. `ask`: somebody types the passphrase. `closed`: nothing opens it. `unknown`:
   * it cannot be told from here.
   */
  readonly will: "open" | "ask" | "closed" | "unknown";
  /** Who opens it: the initramfs, or the system after it. */
  readonly stage: "initramfs" | "system";
  readonly text: string;
}

interface OutlookFacts {
  /** What agent.toml runs for its key. */
  readonly program: string | null;
  /** Of the key path that systemd will use; null where there is nothing. */
  readonly key: KeyPlace | null;
}

/**
 * Foretells what happens to a volume at the next boot. It agrees with `judge`: a volume of which
 * that tells an error does not open by itself.
 */
export function foretell(facts: CheckFacts, volume: VolumeFacts, own: OutlookFacts): Outlook {
  if (volume.early !== null) return foretellEarly(facts, volume, volume.early);
  const left = leftClosed(facts, volume);
  if (left !== null) return { ...left, stage: "system" };
  const outlook = foretellLater(facts, volume, own);
  const spoiler = outlook.will === "open" || outlook.will === "unknown" ? spoilerOf(facts, volume) : undefined;
  if (spoiler === undefined) return { ...outlook, stage: "system" };
  const { subject, code, text } = spoiler;
  const what = subject === volume.entry.volume ? text : `${subject} ${text}`;
  if (EARLY_ENOUGH.has(code)) {
    const text = "opens by itself only if the network is up early enough, for want of _netdev; see: nightlatch check";
    return { will: "unknown", stage: "system", text };
  }
  return { will: "ask", stage: "system", text: `asks for the passphrase: ${what}; see: nightlatch check` };
}

/** Findings of a boot that may go well, by luck. */
const EARLY_ENOUGH: ReadonlySet<string> = new Set(["check/no-netdev", "check/mount-no-netdev"]);

function foretellEarly(facts: CheckFacts, volume: VolumeFacts, early: EarlyFacts): Outlook {
  const { entry, bindings } = volume;
  const { boot, why, isNeeded } = early;
  const told = (will: Outlook["will"], text: string): Outlook => ({ will, stage: "initramfs", text });
  const errors = judgeVolume(facts, volume).filter(({ severity }) => severity === "error");
  const lost = errors.find(
    ({ code }) => code === "check/initramfs-missing" || (code === "check/initramfs" && boot?.opensIt !== true),
  );
  if (lost !== undefined && isNeeded) return told("closed", `${lost.text}; see: nightlatch check`);
  if (boot === null) return told("unknown", `the initramfs opens it (${why}), and what is in that cannot be told here`);
  if (!boot.opensIt) return told("unknown", `the initramfs of ${boot.title} does not open it, although ${why}`);
  if (boot.keyscript !== null) return told("unknown", `opens in the initramfs if its keyscript ${boot.keyscript} can`);
  if (boot.keyFile !== null) return told("unknown", `opens in the initramfs if its key file ${boot.keyFile} is right`);
  const [first] = errors;
  const open = bindings.find(({ opens, lacks }) => opens === true && lacks.length === 0);
  if (open === undefined || first !== undefined) {
    if (bindings.length === 0) {
      const token = findOption(entry, "tpm2-device", "pkcs11-uri", "fido2-device");
      if (token !== undefined) return told("unknown", `opens in the initramfs if systemd there can use ${token.name}=`);
      return told("ask", "asks for the passphrase in the initramfs: it has no binding");
    }
    if (first !== undefined) return told("ask", `asks in the initramfs, where ${first.text}; see: nightlatch check`);
    if (bindings.some(({ opens, needsPerson }) => opens === null && !needsPerson))
      return told("unknown", "opens in the initramfs if clevis there gets an answer, which was not tried");
    return told("ask", "asks for the passphrase in the initramfs: no binding opens it now");
  }
  if (!boot.isCertain) {
    return told("unknown", `opens by itself if ${boot.title} is what boots, which no boot loader's configuration says`);
  }
  return told("open", `opens by itself: clevis in the initramfs asks ${whomOf(open)}`);
}

function foretellLater(
  facts: CheckFacts,
  volume: VolumeFacts,
  { program, key }: OutlookFacts,
): Pick<Outlook, "will" | "text"> {
  const { entry, bindings } = volume;
  const garbled = [entry.volume, devicePathOf(entry.device), ...entry.fields.slice(2, 4)].some((text) =>
    text.includes("\\"),
  );
  if (garbled)
    return { will: "unknown", text: "opens only where systemd keeps the backslash in its line; version 252 does not" };
  if (!isLuksVolume(entry)) return foretellOther(volume, key);
  const path = entry.key ?? key?.path ?? null;
  if (path === facts.agentSocket) {
    if (program === null) return byBindings(bindings, "the agent asks");
    return { will: "unknown", text: `opens if ${program} prints its key, which the agent runs` };
  }
  const device = findOption(entry, "tpm2-device", "pkcs11-uri", "fido2-device");
  if (device !== undefined)
    return { will: "unknown", text: `opens if systemd can use ${device.name}=${device.value ?? ""}` };
  if (findOption(entry, "keyscript") !== undefined)
    return { will: "unknown", text: "opens if something runs its keyscript, which systemd does not" };
  if (path !== null) return byKey(path, key);
  if (isAnswered(facts, volume)) return byBindings(bindings, "clevis asks");
  const unused =
    bindings.length > 0 ? `; its bindings are not used, for its key in crypttab is not ${facts.agentSocket}` : "";
  return { will: "ask", text: `asks for the passphrase${unused}` };
}

function byBindings(bindings: readonly BindingFacts[], who: string): Pick<Outlook, "will" | "text"> {
  if (bindings.length === 0) return { will: "ask", text: "asks for the passphrase: it has no binding" };
  const opening = bindings.filter(({ opens }) => opens === true).map(whomOf);
  if (opening.length > 0) return { will: "open", text: `opens by itself: ${who} ${opening.join(", ")}` };
  if (bindings.some(({ opens, needsPerson }) => opens === null && !needsPerson))
    return { will: "unknown", text: `opens if ${who} and gets an answer, which was not tried` };
  if (bindings.every(({ needsPerson }) => needsPerson))
    return { will: "ask", text: `asks for the passphrase: ${BY_PERSON}` };
  return { will: "ask", text: "asks for the passphrase: no binding opens it now" };
}

/** The servers that a binding asks, or the machine's own TPM. */
function whomOf({ urls, target, kind }: BindingFacts): string {
  if (kind === "tpm2") return "the machine's TPM";
  return [...urls, ...(target === null ? [] : [target])].join(", ");
}

/** What the boot does not start; null where it does. */
function leftClosed(facts: CheckFacts, volume: VolumeFacts): Pick<Outlook, "will" | "text"> | null {
  const { by, mount, why } = startOf(facts, volume);
  if (by === "hand") return { will: "closed", text: "stays closed until it is asked for (noauto)" };
  if (by === "use") {
    return { will: "closed", text: `stays closed until ${mount?.target} is looked at (x-systemd.automount)` };
  }
  if (by === "unsure") return { will: "unknown", text: `it cannot be told whether anything starts it: ${why}` };
  const found = judgeVolume(facts, volume).find(({ code }) => code === "check/nobody-starts");
  return found === undefined ? null : { will: "closed", text: found.text };
}

/** Of a volume without a LUKS header. */
function foretellOther({ entry }: VolumeFacts, key: OutlookFacts["key"]): Pick<Outlook, "will" | "text"> {
  if (isRandomKey(entry.key))
    return { will: "open", text: `opens with a new key from ${entry.key}: what is on it is lost` };
  if (entry.key !== null) return { will: "unknown", text: `opens as ${kindOf(entry)} if ${entry.key} holds its key` };
  if (key !== null) return { will: "unknown", text: `opens as ${kindOf(entry)} if ${key.path} holds its key` };
  return { will: "ask", text: `asks for the passphrase: it is ${kindOf(entry)}, which the agent does not open` };
}

function byKey(text: string, key: OutlookFacts["key"]): Pick<Outlook, "will" | "text"> {
  const { path, device } = placeOf(text);
  if (device !== null) return { will: "unknown", text: `opens if ${path} on ${device} is there and holds its key` };
  if (key === null) return { will: "ask", text: `asks for the passphrase: ${path} is not there` };
  if (key.kind === "socket") return { will: "unknown", text: `opens if whoever answers on ${path} knows its key` };
  // What is no file, and what lies in memory, is another one at the next boot.
  if (key.kind !== "file" || /^\/(?:run|tmp|dev)\//.test(key.path)) {
    return { will: "unknown", text: `opens if ${key.path} holds its key at the next boot` };
  }
  return { will: "open", text: `opens with the key in ${path}, if that is right` };
}

/**
 * Of the machine's own errors those that stand between the agent and this volume; where systemd
 * does not run they tell of another boot.
 */
function spoilerOf(facts: CheckFacts, volume: VolumeFacts): Finding | undefined {
  const byAgent = volume.entry.key === facts.agentSocket;
  const subjects = new Set(byAgent ? [AGENT_UNIT, facts.agentSocket, "systemd"] : ["systemd"]);
  const around = facts.systemd === null ? [] : judgeMachine(facts).filter(({ subject }) => subjects.has(subject));
  const errors = [...judgeVolume(facts, volume), ...around].filter(({ severity }) => severity === "error");
  return errors.find(({ code }) => !EARLY_ENOUGH.has(code)) ?? errors[0];
}
