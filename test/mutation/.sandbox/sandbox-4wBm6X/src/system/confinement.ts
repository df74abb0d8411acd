// @ts-nocheck
import { libcFunction, pointerTo } from "./native/native.ts";

const PR_SET_PDEATHSIG = 1;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_SET_SECCOMP = 22;
const SECCOMP_MODE_FILTER = 2;
const SIGKILL = 9;
/** CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: files of a token in software, sockets of a daemon. */
const KEPT_CAPABILITIES = (1 << 1) | (1 << 2);
/** _LINUX_CAPABILITY_VERSION_3, which has two sets of 32 bits each of three kinds. */
const CAPABILITY_VERSION = 0x2008_0522;
const CAPABILITY_SETS_BYTES = 24;

/**
 * Takes from this process whatever somebody else's code, which it is about to load, does not need:
 * new privileges, capabilities, and the network. It ends when its parent does.
 * docs/decisions/096-a-cards-driver-runs-alone.md
 * @throws Error where the kernel refuses
 */
export function confineProcess(): void {
  must(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "end with its parent");
  must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "forgo new privileges");
  dropCapabilities();
  refuseNetwork();
}

function prctl(option: number, ...values: readonly [Ulong, Ulong, Ulong, Ulong]): number {
  return libcFunction("int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)")(option, ...values);
}

type Ulong = number | bigint;

function dropCapabilities(): void {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(CAPABILITY_VERSION, 0);
  const sets = Buffer.alloc(CAPABILITY_SETS_BYTES);
  must(libcFunction("int capget(void *, void *)")(header, sets), "read its capabilities");
  for (let at = 0; at < sets.length; at += 4) {
    // The first three words are effective, permitted and inheritable of the lower 32 capabilities.
    const kept = at < 8 ? sets.readUInt32LE(at) & KEPT_CAPABILITIES : 0;
    sets.writeUInt32LE(kept >>> 0, at);
  }
  must(libcFunction("int capset(void *, const void *)")(header, sets), "drop its capabilities");
}

interface Architecture {
  /** AUDIT_ARCH_ */
  readonly audit: number;
  /** Number of the system call. */
  readonly socket: number;
}

const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  x64: { audit: 0xc000_003e, socket: 41 },
  arm64: { audit: 0xc000_00b7, socket: 198 },
};

const IO_URING_SETUP = 425;
/** System calls of the x32 ABI have this bit. */
const X32 = 0x4000_0000;
const [AF_UNIX, AF_NETLINK] = [1, 16];
const EAFNOSUPPORT = 97;
/** BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ, BPF_JMP | BPF_JGE, BPF_RET (linux/bpf_common.h). */
const [LOAD, IS_EQUAL, IS_AT_LEAST, RETURN] = [0x20, 0x15, 0x35, 0x06];
const ALLOW = 0x7fff_0000;
const REFUSE = 0x0005_0000 | EAFNOSUPPORT;
/** Places in struct seccomp_data. */
const [NUMBER, ARCHITECTURE, FIRST_ARGUMENT] = [0, 4, 16];

/**
 * A seccomp filter for this thread, on which the driver runs, and those that it makes: sockets are
 * of a daemon on this machine (AF_UNIX), or of the kernel (AF_NETLINK, by which a USB library hears
 * of a reader). No namespace: making one takes a capability that the agent's unit does not have.
 */
function refuseNetwork(): void {
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined) throw new Error(`of system calls on ${process.arch} nothing is known here`);
  const { audit, socket } = architecture;
  const filter = program([
    [LOAD, 0, 0, ARCHITECTURE],
    [IS_EQUAL, 0, 7, audit],
    [LOAD, 0, 0, NUMBER],
    [IS_AT_LEAST, 5, 0, X32],
    [IS_EQUAL, 4, 0, IO_URING_SETUP],
    [IS_EQUAL, 0, 4, socket],
    [LOAD, 0, 0, FIRST_ARGUMENT],
    [IS_EQUAL, 2, 0, AF_UNIX],
    [IS_EQUAL, 1, 0, AF_NETLINK],
    [RETURN, 0, 0, REFUSE],
    [RETURN, 0, 0, ALLOW],
  ]);
  // Not seccomp(2), which systemd's @system-service lacks.
  must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, pointerTo(filter), 0, 0), "give up the network");
}

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

/** struct sock_fprog, which points to its struct sock_filter. */
function program(instructions: readonly Instruction[]): Buffer {
  const code = Buffer.alloc(instructions.length * 8);
  instructions.forEach(([operation, ifTrue, ifFalse, value], index) => {
    const at = code.writeUInt16LE(operation, index * 8);
    code.writeUInt32LE(value, code.writeUInt8(ifFalse, code.writeUInt8(ifTrue, at)));
  });
  const whole = Buffer.alloc(16);
  whole.writeUInt16LE(instructions.length, 0);
  whole.writeBigUInt64LE(pointerTo(code), 8);
  return whole;
}

function must(result: number, what: string): void {
  if (result !== 0) throw new Error(`the process could not ${what}`);
}
