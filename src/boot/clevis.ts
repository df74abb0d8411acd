import { cmdlineValues } from "../formats/kernel-cmdline.ts";
import type { InitramfsFacts, Stack } from "./initramfs.ts";

/** What clevis has to do in an initramfs to open one volume by one binding. */
export interface ClevisTask {
  /** All that the binding is made of: `tang`; `sss` and `tang`. */
  readonly pins: readonly string[];
  readonly urls: readonly string[];
  readonly luksVersion: 1 | 2;
  /** The kernel's, with what the initramfs brings along. */
  readonly cmdline: string;
}

/** What keeps it from that, and how to mend it. */
export interface Lack {
  readonly what: string;
  readonly remedy: string;
}

type ClevisStack = "initramfs-tools" | "dracut-systemd";

/** What answers the prompt, and what it runs: clevis-initramfs's and clevis-dracut's own lists (clevis 19 to 21). */
const PARTS: Readonly<Record<ClevisStack, readonly string[]>> = {
  "initramfs-tools": [
    "scripts/local-top/clevis",
    ...programs("clevis", "clevis-luks-list", "clevis-decrypt", "jose", "bash"),
  ],
  "dracut-systemd": [
    "usr/lib/systemd/system/clevis-luks-askpass.path",
    "usr/lib/systemd/system/clevis-luks-askpass.service",
    "usr/libexec/clevis-luks-askpass",
    "usr/lib/systemd/systemd-reply-password",
    ...programs("clevis-luks-common-functions", "clevis-decrypt", "jose"),
  ],
};

const REMEDY: Readonly<Record<ClevisStack, string>> = {
  "initramfs-tools": "Install clevis-initramfs, then: update-initramfs -u -k all",
  "dracut-systemd": "Install clevis-dracut, then: dracut --force",
};

/**
 * Why the stock clevis of an initramfs could not open a volume, as far as its files and the command line tell; null where nothing speaks
 * against it. Whether its network comes up cannot be told from here.
 */
export function whyNoClevis(
  stack: Stack,
  facts: Pick<InitramfsFacts, "has">,
  { pins, urls, luksVersion, cmdline }: ClevisTask,
): Lack | null {
  if (stack !== "initramfs-tools" && stack !== "dracut-systemd") {
    return {
      what: `of clevis in an initramfs of ${stack} nothing is known here`,
      remedy: "Use kexec, or an initramfs of initramfs-tools or of dracut with systemd.",
    };
  }
  const needed = [
    ...PARTS[stack],
    ...programs(...pins.map((pin) => `clevis-decrypt-${pin}`)),
    ...programs(...(luksVersion === 1 ? ["luksmeta"] : []), ...(pins.includes("tang") ? ["curl"] : [])),
  ];
  const missing = needed.filter((name) => !facts.has(name));
  if (missing.length > 0) return { what: `the initramfs holds no ${missing.join(", ")}`, remedy: REMEDY[stack] };
  if (stack === "dracut-systemd" && !WANTED.some((name) => facts.has(name))) {
    return { what: "nothing in the initramfs starts its clevis-luks-askpass.path", remedy: REMEDY[stack] };
  }
  return pins.includes("tang") ? whyNoNetwork(stack, facts, urls, cmdline) : null;
}

const WANTED = ["etc", "usr/lib"].map(
  (folder) => `${folder}/systemd/system/cryptsetup.target.wants/clevis-luks-askpass.path`,
);

/** Where curl looks for authorities on Debian, Fedora and Arch. */
const AUTHORITIES = ["etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/cert.pem"];

function whyNoNetwork(
  stack: ClevisStack,
  facts: Pick<InitramfsFacts, "has">,
  urls: readonly string[],
  cmdline: string,
): Lack | null {
  const off = cmdlineValues(cmdline, "ip").find((value) => ["none", "off", "done"].includes(value));
  if (stack === "initramfs-tools" && off !== undefined) {
    return {
      what: `ip=${off} on the command line keeps the initramfs without a network`,
      remedy: "Set ip=dhcp, or the address.",
    };
  }
  // Without it dracut brings no network up for a root that lies on a disk (dracut.cmdline(7)).
  const wanted = cmdlineValues(cmdline, "rd.neednet").at(-1) ?? "0";
  if (stack === "dracut-systemd" && ["0", "no", "off", "false"].includes(wanted)) {
    return {
      what: "without rd.neednet=1 the initramfs brings no network up",
      remedy: "Add rd.neednet=1 to the kernel's command line (/etc/default/grub, then update-grub).",
    };
  }
  const secure = urls.find((url) => /^https:/i.test(url));
  if (secure !== undefined && !AUTHORITIES.some((name) => facts.has(name))) {
    return {
      what: `the initramfs holds no certificates of authorities, which ${secure} needs`,
      remedy:
        "Copy /etc/ssl/certs/ca-certificates.crt into the initramfs by a hook, or bind to the server's http address.",
    };
  }
  return null;
}

function programs(...names: readonly string[]): string[] {
  return names.map((name) => `usr/bin/${name}`);
}
