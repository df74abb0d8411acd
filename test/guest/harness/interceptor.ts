/**
 * Stands in front of the programs by which a command of ours changes something in the guest, and
 * kills Nightlatch at the nth of its calls, or holds it there for the power to be cut. It is
 * mounted over them, so it goes with the boot.
 */
import type { Machine } from "./machine.ts";

/** Those of a reboot: headers, the loaded kernel, mounts, the system's state. */
const OF_A_REBOOT = [
  "/usr/sbin/cryptsetup",
  "/usr/sbin/kexec",
  "/usr/bin/mount",
  "/usr/bin/umount",
  "/usr/bin/shred",
  "/usr/bin/systemctl",
];

/**
 * `before`: Nightlatch is killed and the program never runs. `during`: killed as the program
 * begins, which goes on by itself. `hold`: nobody is killed, the program ends, and its caller waits
 * for ever to hear of it; `hold-before`, and the program does not begin.
 */
export type Stop = "before" | "during" | "hold" | "hold-before";

/**
 * What Nightlatch alone calls counts; everybody else's calls pass. `exec -a`: systemctl has many
 * names.
 */
const WRAPPER = `#!/bin/bash
real=/root/intercept/real/NAME
[ -e /root/intercept/at ] && [ "$(readlink /proc/$PPID/exe)" = /usr/lib/nightlatch/node ] || exec -a "$0" $real "$@"
case "NAME $*" in LOOKS) exec $real "$@" ;; esac
echo "NAME $*" >>/root/intercept/calls
at=$(</root/intercept/at)
[[ $(wc -l </root/intercept/calls) = "$at" || "NAME $*" == $at ]] || exec $real "$@"
case $(</root/intercept/how) in
  before) kill -9 $PPID ;;
  during) kill -9 $PPID; exec $real "$@" ;;
  hold) $real "$@"; : >/root/intercept/held; exec sleep infinity ;;
  hold-before) : >/root/intercept/held; exec sleep infinity ;;
esac
`;

/**
 * Calls that change nothing, and are not counted: a kill before one finds what the last change
 * left.
 */
const LOOKS =
  '"cryptsetup open "* | "kexec --version" | "systemctl show "* | "systemctl list-jobs "* | "systemctl is-"*';

/** For one boot. Calls pass, and are not counted, until `stopAt` names one. */
export async function intercept(machine: Machine, programs: readonly string[] = OF_A_REBOOT): Promise<void> {
  const lines = programs.map((path) => {
    const name = path.replace(/.*\//, "");
    return `cp ${path} real/${name}; sed s/NAME/${name}/ wrapper >${name}; chmod 755 ${name}; mount --bind ${name} ${path}`;
  });
  const setUp = [
    // A second time in one boot would put the wrappers in front of themselves.
    "set -e; [ ! -e /run/intercepted ] || exit 0",
    "rm -rf /root/intercept",
    "mkdir -p /root/intercept/real",
    "cd /root/intercept",
    "cat >wrapper",
  ];
  await machine.must([...setUp, ...lines, ": >/run/intercepted"].join("\n"), 60_000, WRAPPER.replace("LOOKS", LOOKS));
}

/**
 * At the nth call from now, or at the first that a glob matches, as in `cryptsetup
 * luksAddKey*vda*`.
 */
export async function stopAt(machine: Machine, at: number | string, how: Stop): Promise<void> {
  const script = `cd /root/intercept && rm -f held calls && touch calls && echo ${how} >how && cat >at`;
  await machine.must(script, 60_000, String(at));
}

/**
 * Runs a command, which takes the passphrase, up to where it holds; what it does goes on in the
 * background.
 */
export async function runUntilHeld(machine: Machine, command: string, timeoutMs: number, stdin: string): Promise<void> {
  const start = `printf %s "$(cat)" | setsid ${command} >/root/intercept/log 2>&1 &`;
  await machine.must(`${start}\nuntil [ -e /root/intercept/held ]; do sleep 0.2; done`, timeoutMs, stdin);
}

/** No longer. @returns the calls since, the one that it stopped at last */
export async function letPass(machine: Machine): Promise<string[]> {
  const calls = await machine.must("rm /root/intercept/at && cat /root/intercept/calls");
  return calls.split("\n").filter((line) => line !== "");
}
