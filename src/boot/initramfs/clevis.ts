import { isIP } from "node:net";
import { cmdlineValues } from "../../formats/loader/kernel-cmdline.ts";
import type { Generator, InitramfsFacts } from "./inspect.ts";
import { addDracutWord, addFile, byHand, type Mending, REBUILD_STEP, type Remedy, remedyOf } from "./mending.ts";
import type { ServerName } from "./server-name.ts";

/** What clevis has to do in an initramfs to open one volume by one binding. */
export interface ClevisTask {
  /** All that the binding is made of: `tang`; `sss` and `tang`. */
  readonly pins: readonly string[];
  /** Whether it asks a server. */
  readonly network: boolean;
  readonly urls: readonly string[];
  readonly luksVersion: 1 | 2;
  /** The kernel's, with what the initramfs brings along. */
  readonly cmdline: string;
  readonly mending: Mending;
  /**
   * How the running system knows the servers' names; one that is not there counts as known
   * everywhere.
   */
  readonly names: ReadonlyMap<string, ServerName>;
  /** The command that binds the volume to that server by another address. */
  readonly rebind: (url: string, address: string | null) => string;
}

/** What keeps a volume from opening by itself, and how to mend it: steps, a line each. */
export interface Lack {
  readonly what: string;
  readonly remedy: string;
}

/** What an initramfs lacks. The code stays the same between releases. */
export interface EarlyLack extends Lack, Remedy {
  readonly code: EarlyLackCode;
}

type EarlyLackCode = "stack" | "clevis" | "network" | "driver" | "certificates" | "name";

type ClevisGenerator = "initramfs-tools" | "dracut-systemd";

/**
 * What answers the prompt, and what it runs: clevis-initramfs's and clevis-dracut's own lists
 * (clevis 19 to 21).
 */
const PARTS: Readonly<Record<ClevisGenerator, readonly string[]>> = {
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

const PACKAGES: Readonly<Record<ClevisGenerator, string>> = {
  "initramfs-tools": "clevis-initramfs",
  "dracut-systemd": "clevis-dracut",
};

/** What clevis-decrypt-tpm2 runs. */
const TPM2_TOOLS = ["tpm2_createprimary", "tpm2_flushcontext", "tpm2_load", "tpm2_unseal"];
/** What those load to reach the chip, from the folder of the machine's architecture. */
const TPM2_DEVICE = "libtss2-tcti-device.so.0";

/**
 * Lists, all at once, why the stock clevis of an initramfs could not open a volume, as far as its
 * files and the command line tell. Empty where nothing speaks against it. Whether its network comes
 * up cannot be told from here.
 */
export function clevisLacks(
  generator: Generator,
  facts: Pick<InitramfsFacts, "has" | "names">,
  task: ClevisTask,
): EarlyLack[] {
  if (generator !== "initramfs-tools" && generator !== "dracut-systemd") {
    const what = `of clevis in an initramfs of ${generator} nothing is known here`;
    const remedy = "Use kexec, or an initramfs of initramfs-tools or of dracut with systemd.";
    return [{ code: "stack", what, ...byHand(remedy) }];
  }
  const { pins, network, luksVersion, mending } = task;
  const needed = [
    ...PARTS[generator],
    ...programs(...pins.map((pin) => `clevis-decrypt-${pin}`)),
    ...programs(...(luksVersion === 1 ? ["luksmeta"] : []), ...(pins.includes("tang") ? ["curl"] : [])),
    ...programs(...(pins.includes("tpm2") ? TPM2_TOOLS : [])),
  ];
  const missing = needed.filter((name) => !facts.has(name));
  if (pins.includes("tpm2") && ![...facts.names].some((name) => name.endsWith(`/${TPM2_DEVICE}`)))
    missing.push(TPM2_DEVICE);
  const isStarted = generator === "initramfs-tools" || WANTED.some((name) => facts.has(name));
  const what =
    missing.length > 0
      ? `the initramfs holds no ${missing.join(", ")}`
      : isStarted
        ? null
        : "nothing in the initramfs starts its clevis-luks-askpass.path";
  // The last of them makes the initramfs anew, with what the first has brought.
  const packages = [...(pins.includes("tpm2") ? ["clevis-tpm2"] : []), PACKAGES[generator]];
  const installs = packages.map((name) => ({ kind: "install" as const, name }));
  const remedy = remedyOf(mending, [...installs, REBUILD_STEP]);
  return [
    ...(what === null ? [] : [{ code: "clevis" as const, what, ...remedy }]),
    ...(network ? networkLacks(generator, facts, task) : []),
  ];
}

/**
 * What the package's own hooks put beside clevis:
 * docs/decisions/103-deadlines-before-the-root.md.
 */
const DEADLINE: Readonly<Record<ClevisGenerator, readonly string[]>> = {
  "initramfs-tools": ["etc/nightlatch/.curlrc", "conf/conf.d/nightlatch"],
  "dracut-systemd": ["etc/nightlatch/.curlrc", "usr/lib/systemd/system/clevis-luks-askpass.service.d/nightlatch.conf"],
};

/**
 * Tells whether stock clevis would wait for ever on a server that says nothing, and with it every
 * volume behind that one. Null where a deadline is set, and for generators of which nothing is
 * known.
 */
export function whyNoDeadline(
  { generator, has }: Pick<InitramfsFacts, "has" | "generator">,
  mending: Mending,
): (Lack & Remedy) | null {
  if (generator !== "initramfs-tools" && generator !== "dracut-systemd") return null;
  if (DEADLINE[generator].every((name) => has(name))) return null;
  const what = "clevis has no deadline in the initramfs, and a server that never answers holds everything up";
  return { what, ...remedyOf(mending, [REBUILD_STEP]) };
}

const WANTED = ["etc", "usr/lib"].map(
  (folder) => `${folder}/systemd/system/cryptsetup.target.wants/clevis-luks-askpass.path`,
);

/** Where curl looks for authorities on Debian, Fedora and Arch. */
const AUTHORITIES = ["etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/cert.pem"];

const OFF: ReadonlySet<string> = new Set(["none", "off", "done"]);
/**
 * A value of `ip=` without a colon: get_specified_device() of clevis-initramfs 19, which is Debian
 * 12's, gives it back whole as the name of a card. That of 24 does not; which of them an initramfs
 * holds is not told.
 */
const BARE = /^[\w.]+$/;

function networkLacks(generator: ClevisGenerator, facts: Pick<InitramfsFacts, "has">, task: ClevisTask): EarlyLack[] {
  const { urls, cmdline, mending } = task;
  const lacks: EarlyLack[] = [];
  const word = cmdlineValues(cmdline, "ip").find((value) => BARE.test(value));
  if (generator === "initramfs-tools" && word !== undefined) {
    const why = OFF.has(word) ? "" : ": clevis 19 takes it for the name of a network card, and waits for that";
    const what = `ip=${word} on the command line keeps the initramfs without a network${why}`;
    const remedy = `take ip=${word} off the kernel's command line; without it the initramfs asks by DHCP`;
    lacks.push({ code: "network", what, ...byHand(remedy) });
  }
  // Without it dracut brings no network up for a root that lies on a disk (dracut.cmdline(7)).
  const wanted = cmdlineValues(cmdline, "rd.neednet").at(-1) ?? "0";
  if (generator === "dracut-systemd" && ["0", "no", "off", "false"].includes(wanted)) {
    const what = "without rd.neednet=1 the initramfs brings no network up";
    lacks.push({ code: "network", what, ...addDracutWord(mending, "rd.neednet=1", "network") });
  }
  const secure = urls.find((url) => /^https:/i.test(url));
  if (secure !== undefined && !AUTHORITIES.some((name) => facts.has(name))) {
    const what = `the initramfs holds no certificates of authorities, which ${secure} needs`;
    lacks.push({ code: "certificates", what, ...addFile(mending, `/${AUTHORITIES[0]}`, "certificates") });
  }
  return [...lacks, ...urls.flatMap((url) => nameLack(url, task) ?? [])];
}

/**
 * An initramfs has no /etc/hosts and no name service but DNS, and that where its network tells it a
 * server.
 */
function nameLack(url: string, { cmdline, names, rebind }: ClevisTask): EarlyLack | null {
  const host = hostOf(url);
  const name = names.get(host);
  const lack = (what: string): EarlyLack => ({ code: "name", what, ...byHand(rebind(url, name?.address ?? null)) });
  switch (name?.kind) {
    case "here":
      return lack(`${host} is this machine itself, whose server does not run yet when its initramfs asks`);
    case "hosts":
      return lack(`${host} is known from /etc/hosts alone, which the initramfs does not have`);
    case "hosts-perhaps":
      return lack(
        `${host} is in /etc/hosts, which the initramfs does not have; whether DNS has it too cannot be told here`,
      );
    case "other":
      return lack(`${host} is not known to DNS, and the initramfs knows no other names`);
    default:
      if (isIP(host) > 0 || !isStaticWithoutDns(cmdline)) return null;
      return lack(`ip= on the command line gives the initramfs no name server, and ${host} is a name`);
  }
}

/**
 * The kernel's nfsroot.txt, initramfs-tools(7), dracut.cmdline(7): `ip=CLIENT:…:DNS0:DNS1`, colons
 * of IPv6 in brackets.
 */
function isStaticWithoutDns(cmdline: string): boolean {
  if (cmdlineValues(cmdline, "nameserver").length > 0) return false;
  const fixed = cmdlineValues(cmdline, "ip")
    .map((value) => value.replaceAll(/\[[^\]]*\]/g, "v6").split(":"))
    .filter(([client = "", ...rest]) => rest.length > 1 && client !== "" && !/^(?:dhcp|on|any)/.test(rest[5] ?? ""));
  return fixed.length > 0 && fixed.every((fields) => !fields.slice(7, 9).some((field) => field !== ""));
}

/**
 * Reads the host of an address, without the brackets of an IPv6 address; "" where the text is no
 * address.
 */
export function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[(.*)\]$/, "$1") : "";
}

function programs(...names: readonly string[]): string[] {
  return names.map((name) => `usr/bin/${name}`);
}
