import type { NightlatchError } from "../core/errors.ts";
import type { CrypttabEntry, CrypttabFault } from "../formats/crypttab.ts";
import type { FstabEntry } from "../formats/fstab.ts";

/** All that `nightlatch check` judges. What is null could not be found out here. */
export interface CheckFacts {
  readonly agentSocket: string;
  readonly files: { readonly crypttab: string; readonly fstab: string; readonly config: string };
  readonly crypttabFaults: readonly CrypttabFault[];
  readonly volumes: readonly VolumeFacts[];
  /** Why agent.toml cannot be used. */
  readonly configError: NightlatchError | null;
  /** Volumes that agent.toml names and crypttab does not. */
  readonly strangers: readonly string[];
  /** Files of root's that others could change, in the agent's words; `isAgents`: it acts upon this one, and refuses to. */
  readonly exposed: readonly { readonly path: string; readonly refusal: NightlatchError; readonly isAgents: boolean }[];
  /** The machine's identity where others than root may read it, with the agent's refusal; null where not, or there is none. */
  readonly readableIdentity: { readonly path: string; readonly refusal: NightlatchError } | null;
  /** Of the agent's socket; null where there is nothing. */
  readonly socket: { readonly isSocket: boolean; readonly mode: number; readonly uid: number } | null;
  /** null: systemd does not run here. */
  readonly systemd: SystemdFacts | null;
}

export interface SystemdFacts {
  /** Of nightlatch-agent.socket. */
  readonly agentUnit: { readonly load: string; readonly file: string; readonly active: string };
  /** Units that listen on a path which crypttab names as a key. */
  readonly responders: readonly Responder[];
  /** What systemd-analyze says of ordering cycles, a line each; null where it could not be run. */
  readonly cycles: readonly string[] | null;
}

/** A socket unit and the service behind it. */
export interface Responder {
  readonly unit: string;
  readonly path: string;
  readonly hasDefaultDependencies: boolean;
  readonly before: readonly string[];
  /** null where it is not known. */
  readonly service: {
    readonly unit: string;
    readonly hasDefaultDependencies: boolean;
    readonly after: readonly string[];
  } | null;
}

export interface VolumeFacts {
  readonly entry: CrypttabEntry;
  /** Where the device, or the detached header, is looked for. */
  readonly device: string;
  /** Why the header cannot be read. */
  readonly error: NightlatchError | null;
  readonly uuid: string | null;
  readonly bindings: readonly BindingFacts[];
  /** Whether a keyslot opens the volume that no token refers to; null where the header cannot be read. */
  readonly hasPassphrase: boolean | null;
  readonly leftovers: readonly string[];
  readonly warnings: readonly { readonly text: string; readonly remedy: string | null }[];
  /** agent.toml names a command for it. */
  readonly command: { readonly program: string; readonly isThere: boolean } | null;
  /** How long the agent tries. */
  readonly deadlineMs: number;
  /** Whether there is something at the path that crypttab names as key; null where it names none. */
  readonly hasKey: boolean | null;
  /** fstab's entries on its mapping. */
  readonly mounts: readonly FstabEntry[];
  /** The running root or /usr lies on it, through LVM or whatever else lies between. */
  readonly beneathRoot: boolean;
}

export interface BindingFacts {
  readonly text: string;
  readonly asksNetwork: boolean;
  readonly keyslots: readonly number[];
  /** null: a pin that cannot be tried. */
  readonly opens: boolean | null;
  readonly error: NightlatchError | null;
}
