import type { NightlatchError } from "../../core/errors.ts";
import type { Start } from "../../formats/systemd/boot-start.ts";
import type { CrypttabEntry, CrypttabFault } from "../../formats/systemd/crypttab.ts";
import type { FstabEntry } from "../../formats/systemd/fstab.ts";

/** All that `nightlatch check` judges. What is null could not be found out here. */
export interface CheckFacts {
  readonly agentSocket: string;
  /**
   * A key server knows this machine: it gives another latch without an invite, and refuses one that
   * was made for another name.
   */
  readonly isEnrolled: boolean;
  readonly files: {
    readonly crypttab: string;
    readonly fstab: string;
    readonly config: string;
    readonly state: string;
  };
  readonly crypttabFaults: readonly CrypttabFault[];
  readonly volumes: readonly VolumeFacts[];
  /** What starts each volume of crypttab after the initramfs, by name. */
  readonly starts: ReadonlyMap<string, Start>;
  /** Why agent.toml cannot be used. */
  readonly configError: NightlatchError | null;
  /** Volumes that agent.toml names and crypttab does not. */
  readonly strangers: readonly string[];
  /**
   * Files of root's that others could change, in the agent's words; `isAgents`: it acts upon this
   * one, and refuses to.
   */
  readonly exposed: readonly { readonly path: string; readonly refusal: NightlatchError; readonly isAgents: boolean }[];
  /**
   * The machine's identity where others than root may read it, with the agent's refusal; null where
   * not, or there is none.
   */
  readonly readableIdentity: { readonly path: string; readonly refusal: NightlatchError } | null;
  /** Of the agent's socket; null where there is nothing. */
  readonly socket: { readonly isSocket: boolean; readonly mode: number; readonly uid: number } | null;
  /** null: systemd does not run here. */
  readonly systemd: SystemdFacts | null;
  /** What agent.toml says of a tether; null where it has none. */
  readonly tether: TetherFacts | null;
  /** How heartbeats stand; null where nobody counts on them, or they were not looked at. */
  readonly heartbeat: HeartbeatFacts | null;
  /** What witnesses have signed; null where agent.toml names none, or no server was asked. */
  readonly witness: WitnessFacts | null;
  /** Stock clevis answers systemd's passphrase prompts. */
  readonly clevisAnswers: boolean;
  /** What makes the initramfs, and the command that makes it anew; null where that is not known. */
  readonly mending: { readonly program: string; readonly rebuild: string } | null;
}

/** What agent.toml says of a tether, and what of it does not run. */
export interface TetherFacts {
  readonly action: "suspend" | "power-off";
  /** Mappings that it names. */
  readonly volumes: readonly string[];
  /** Those of them that neither crypttab has nor is open. */
  readonly strangers: readonly string[];
  /** Units that it takes, and that are not enabled or do not run. */
  readonly idle: readonly string[];
}

/** How the heartbeats stand that this machine is to send. */
export interface HeartbeatFacts {
  /** Whether a tether needs them, too. */
  readonly isTethers: boolean;
  /** Whether their unit is enabled, and runs. */
  readonly runs: boolean;
  /** Addresses that `[heartbeat]` names and where this machine is not enrolled. */
  readonly strangers: readonly string[];
  /** Addresses where it is. */
  readonly enrolled: readonly string[];
  /**
   * Servers that have not answered for longer than they should; `silentMs` is null where one never
   * did since the machine was started. `name` is the machine's there.
   */
  readonly silent: readonly { readonly url: string; readonly name: string; readonly silentMs: number | null }[];
}

/** What servers' witnesses have signed, held against what agent.toml wants. */
export interface WitnessFacts {
  /** What becomes of a server whose log they have not signed. */
  readonly missing: "tell" | "refuse";
  /**
   * What is wrong, of each server that cannot show what is wanted; `unsigned` are the names of the
   * witnesses that have not signed.
   */
  readonly flaws: readonly {
    readonly host: string;
    readonly error: NightlatchError;
    readonly unsigned: readonly string[];
  }[];
}

/** What systemd says of units, as the judgement needs it. */
export interface SystemdFacts {
  /** Of nightlatch-agent.socket. */
  readonly agentUnit: { readonly load: string; readonly file: string; readonly active: string };
  /**
   * Whether remote-cryptsetup.target is part of the boot, which starts the _netdev volumes that no
   * mount pulls in.
   */
  readonly startsRemote: boolean;
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

/** What is known of one line of crypttab and the volume that it names. */
export interface VolumeFacts {
  readonly entry: CrypttabEntry;
  /** Where the device, or the detached header, is looked for. */
  readonly device: string;
  /** Why the header cannot be read. */
  readonly error: NightlatchError | null;
  readonly uuid: string | null;
  readonly bindings: readonly BindingFacts[];
  /**
   * That no keyslot opens the volume by what a person types, a passphrase or a recovery key; null
   * where one does, or the header cannot be read.
   */
  readonly noPassphrase: { readonly text: string; readonly remedy: string | null } | null;
  readonly leftovers: readonly { readonly text: string; readonly remedy: string }[];
  readonly warnings: readonly { readonly text: string; readonly remedy: string | null }[];
  /** agent.toml names a command for it. */
  readonly command: { readonly program: string; readonly isThere: boolean } | null;
  /** How long the agent tries. */
  readonly deadlineMs: number;
  /**
   * Whether there is something at the path that crypttab names as key; null where it names none, or
   * one on another device.
   */
  readonly hasKey: boolean | null;
  /** fstab's entries on its mapping. */
  readonly mounts: readonly FstabEntry[];
  /** null where the system opens it, after the initramfs. */
  readonly early: EarlyFacts | null;
}

/** Of a volume that the initramfs opens. */
export interface EarlyFacts {
  /** e.g. `the root lies on it`. */
  readonly why: string;
  /** Whether the machine does not start without it. */
  readonly isNeeded: boolean;
  /** null where what will boot cannot be told; why is then in `unknown`. */
  readonly boot: {
    /** The boot entry's. */
    readonly title: string;
    /**
     * Whether it is the boot loader that says so; else it is the newest kernel that is installed.
     */
    readonly isCertain: boolean;
    /**
     * Whether the initramfs can open LUKS volumes at all, and this is one of those that it opens.
     */
    readonly opensIt: boolean;
    /** What makes it open it, where it does not: steps, a line each. */
    readonly remedy: string;
    /** The keyscript that the initramfs runs for it. */
    readonly keyscript: string | null;
    /** The key file that the initramfs's own crypttab names. */
    readonly keyFile: string | null;
    /** Why clevis has no deadline in the initramfs; null where it has one. */
    readonly deadline: { readonly what: string; readonly remedy: string } | null;
  } | null;
  readonly unknown: { readonly what: string; readonly remedy: string } | null;
}

type LackCode = "stack" | "clevis" | "network" | "driver" | "certificates" | "name";

/** Registers of the machine's TPM that a key is sealed to. */
export interface MeasuredFacts {
  readonly bank: string;
  readonly numbers: readonly number[];
  /** Whether they hold now what the key is sealed to; null where the chip was not asked. */
  readonly isNow: boolean | null;
  /** Those that something has measured into since the boot loader, and may again. */
  readonly moving: readonly number[];
  /** Whether the binding opens by nothing without the key that is sealed to them. */
  readonly isNeeded: boolean;
  /** Those that the kernel and the initramfs which boot next make others than they are now. */
  readonly pending: readonly number[];
  /** Those that a boot through the firmware may make others without anybody at the firmware. */
  readonly unsteady: readonly number[];
}

/** What is known of one binding, and whether it opens now. */
export interface BindingFacts {
  readonly text: string;
  readonly asksNetwork: boolean;
  readonly keyslots: readonly number[];
  /** null: a pin that cannot be tried. */
  readonly opens: boolean | null;
  readonly error: NightlatchError | null;
  readonly urls: readonly string[];
  /** Addresses of its tangs whose keys were rotated since. */
  readonly rotated: readonly string[];
  /** What it asks that is no server, as Binding has it; null where there is none. */
  readonly target: string | null;
  /** Whether it opens only with a person who types a PIN: no boot opens the volume by it. */
  readonly needsPerson: boolean;
  readonly token: number;
  /** `latch`, `tang`, `sss`, `tpm2`, …; `damaged`. */
  readonly kind: string;
  /** What of the machine's start it, or a share of it, is sealed to. */
  readonly measured: readonly MeasuredFacts[];
  /** What the initramfs that opens the volume lacks for it; empty elsewhere. */
  readonly lacks: readonly { readonly code: LackCode; readonly what: string; readonly remedy: string }[];
}
