import type { ErrorCode } from "../../core/errors.ts";
import { formatBinding } from "../binding.ts";
import type { BindingStatus } from "../volume-status.ts";
import type { CheckFacts, VolumeFacts } from "./facts.ts";
import type { Finding, FindingCode, Severity } from "./finding.ts";

/** Whether each binding of a volume opens it now: its servers were asked, and the keyslot tried with the answer. */
export function judgeBindings({ entry, status }: VolumeFacts, _facts: CheckFacts): Finding[] {
  if (status === null) return [];
  const anyOpens = status.bindings.some(({ opens }) => opens === true);
  return status.bindings
    .filter(({ binding, error }) => error !== null && binding.token.keyslots.length > 0)
    .map((binding) => judgeBinding(binding, { volume: entry.volume, device: status.device, anyOpens }));
}

interface Place {
  readonly volume: string;
  readonly device: string;
  /** Another binding opens the volume: this one is a spare that is missing. */
  readonly anyOpens: boolean;
}

function judgeBinding({ binding, error }: BindingStatus, { volume, device, anyOpens }: Place): Finding {
  const code = CODES[error?.code ?? "pin/wrong-key"] ?? "binding/does-not-open";
  const severity: Severity = code === "binding/not-tried" ? "note" : anyOpens ? "warning" : "error";
  return {
    code,
    severity,
    subject: volume,
    message: `${formatBinding(binding)}: ${error?.message ?? "it does not open the volume"}`,
    effect: anyOpens ? "Another binding opens the volume." : (EFFECTS[code] ?? "It asks for the passphrase."),
    remedy: REMEDIES[code]?.(device) ?? error?.remedy ?? `nightlatch status ${device}`,
  };
}

const CODES: Partial<Record<ErrorCode, FindingCode>> = {
  "net/unreachable": "binding/unreachable",
  "net/timeout": "binding/unreachable",
  "net/too-large": "binding/unreachable",
  "pin/busy": "binding/unreachable",
  "pin/bad-reply": "binding/unreachable",
  "pin/locked": "binding/locked",
  "pin/revoked": "binding/refused",
  "pin/unknown-key": "binding/refused",
  "pin/unsupported": "binding/not-tried",
};

const EFFECTS: Partial<Record<FindingCode, string>> = {
  "binding/unreachable": "If its server is not there at the next boot either, the volume asks for the passphrase.",
  "binding/not-tried": "It was not tried: the agent does not use this pin.",
};

const REMEDIES: Partial<Record<FindingCode, (device: string) => string>> = {
  "binding/unreachable": () => "Start the key server, or mend the way to it; then again: nightlatch check",
  "binding/locked": () => "On the key server: nightlatch machine unlock NAME",
  "binding/refused": (device) => `If the machine is trusted: nightlatch bind ${device} latch INVITE --replace`,
  "binding/does-not-open": (device) => `nightlatch bind ${device} latch --replace`,
};
