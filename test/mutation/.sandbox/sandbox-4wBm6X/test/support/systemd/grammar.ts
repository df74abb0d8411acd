/**
 * Lines of crypttab and fstab, and kernel command lines, at random from the grammar of crypttab(5),
 * fstab(5), systemd.mount(5), systemd-cryptsetup-generator(8) and what people write beside it.
 * Lines are latin1, a character a byte: what is UTF-8 in the file is two or more of them here.
 */
// @ts-nocheck

import fc from "fast-check";

export const SOCKET = "/run/nightlatch/agent.sock";
/** Names that a file on the machine of the test has. */
export const KEY_FILE = "/etc/keys/there.key";

const utf8 = (text: string): string => Buffer.from(text).toString("latin1");

/** The n-th volume's, so that no two have the same. */
export const uuidOf = (index: number): string => `${String(index).padStart(8, "0")}-2222-3333-4444-555555555555`;

const space = fc.constantFrom(" ", "\t", "  ", " \t ", "\v", "\f");
const sometimes = <T>(what: fc.Arbitrary<T>, otherwise: T, weight = 4): fc.Arbitrary<T> =>
  fc.oneof({ arbitrary: fc.constant(otherwise), weight }, { arbitrary: what, weight: 1 });

/** What a name may end in. */
const tail = sometimes(fc.constantFrom("-x", "_a", ".b", "+c", "@d", utf8("é"), ":e", "=f", "~", "\\x2dg"), "", 3);

/** Each volume's own; a mapping or a folder may be another volume's. */
export const device = (index: number, count: number): fc.Arbitrary<string> => {
  const uuid = uuidOf(index);
  return fc.oneof(
    { arbitrary: fc.constant(`UUID=${uuid}`), weight: 6 },
    { arbitrary: fc.nat(count).map((n) => `/dev/mapper/v${n}`), weight: 1 },
    {
      arbitrary: fc.constantFrom(
        `UUID="${uuid}"`,
        `UUID='${uuid}'`,
        `"UUID=${uuid}"`,
        `PARTUUID=${uuid}`,
        `LABEL=disk${index}`,
        `LABEL=my/disk${index}`,
        `LABEL="disk${index}"`,
        `PARTLABEL=part+${index}`,
        `LABEL=${utf8("ä")}${index}`,
        `/dev/sd${index}`,
        `/dev//sd${index}`,
        `/dev/./sd${index}/`,
        `/dev/vg/lv-${index}`,
        `/dev/disk/by-id/ata-DISK_${index}-part1`,
        `/dev/disk/by-uuid/${uuid}`,
        `/dev/disk/by-partlabel/a\\x20b${index}`,
        `/srv/images/${index}.img`,
        `/m/v${index % 7}/${index}.img`,
        `/dev/disk/by-label/100%${index}`,
      ),
      weight: 6,
    },
  );
};

export const key = (count: number): fc.Arbitrary<string> =>
  fc.oneof(
    { arbitrary: fc.constantFrom("none", "-", SOCKET, KEY_FILE), weight: 8 },
    fc.constantFrom(
      "/etc/keys/gone.key",
      "/dev/urandom",
      "/dev/random",
      "/dev/hwrng",
      "/dev/null",
      "/dev/sdk1",
      "UUID=0000-AAAA",
      "/dev/disk/by-id/usb-stick",
      "/key:LABEL=stick",
      "/key:/dev/sdk2",
      "/key:UUID=0000-AAAA",
      "/etc/keys/a:b",
      "/run/other.sock",
      "cryptvols",
    ),
    fc.nat(count).map((n) => `/dev/mapper/v${n}`),
    fc.nat(count).map((n) => `/m/v${n}/key`),
    fc.nat(count).map((n) => `/key:/dev/mapper/v${n}`),
  );

const SWITCHES = [
  "luks",
  "discard",
  "_netdev",
  "nofail",
  "noauto",
  "readonly",
  "no-read-workqueue",
  "tcrypt",
  "tcrypt-hidden",
  "bitlk",
  "plain",
  "swap",
  "auto",
  "fail",
  "x-initrd.attach",
  "initramfs",
  "keyfile-timeout=5s",
  "keyfile-size=32",
  "keyfile-offset=8",
  "keyfile-erase",
  "key-slot=1",
  "tries=1",
  "headless",
  "headless=no",
  "tpm2-device=auto",
  "fido2-device=auto",
  "pkcs11-uri=pkcs11:token=a;object=b",
  "x-systemd.device-timeout=0",
  "x-systemd.device-timeout=30s",
  "keyscript=decrypt_derived",
  "keyscript=/lib/cryptsetup/scripts/decrypt_keyctl",
  "cipher=aes-xts-plain64",
  "size=256",
  "hash=plain",
  "offset=8",
  "token-timeout=10",
  "try-empty-password",
  "same-cpu-crypt",
  "sector-size=4096",
  "password-echo=masked",
  "verify",
  "x-own=a\\,b",
  "noauto=no",
  "nofail=0",
  "_netdev=1",
  "tmp",
  "tmp=xfs",
  "%i",
];
/** One of the two kinds of generator failure that stop it is in `stopper`. */
const option = (index: number, count: number): fc.Arbitrary<string> =>
  fc.oneof(
    { arbitrary: fc.constantFrom("luks", "nofail", "_netdev", "noauto"), weight: 4 },
    { arbitrary: fc.constantFrom(...SWITCHES), weight: 8 },
    fc.constantFrom(`header=/srv/headers/${index}`, "header=/dev/sdh1", "header=/h:LABEL=x"),
    fc.nat(count).map((n) => `header=/dev/mapper/v${n}`),
    fc.nat(count).map((n) => `header=/m/v${n}/header`),
  );
const options = (index: number, count: number): fc.Arbitrary<string> =>
  fc
    .tuple(fc.array(option(index, count), { maxLength: 5 }), sometimes(fc.constantFrom(",", ",,"), "", 8))
    .map(([words, end]) => {
      const isTmp = words.some((word) => /^tmp(?:=|$)/.test(word));
      const one = isTmp ? words.filter((word) => word !== "swap") : words;
      return (one.join(",") || "luks") + end;
    });

const remark = fc.constantFrom("# a remark", "more", "# schl\xfcssel", `# ${utf8("schlüssel")}`, "#", "# luks,noauto");

/** A line that systemd opens a volume by, `v` and its number at the beginning of its name. */
export const crypttabLine = (index: number, count: number): fc.Arbitrary<string> =>
  fc
    .record({
      lead: sometimes(space, "", 6),
      space,
      tail,
      device: device(index, count),
      key: key(count),
      options: options(index, count),
      words: fc.constantFrom(2, 3, 4, 4, 4, 4, 4, 4),
      rest: sometimes(remark, "", 3),
      end: sometimes(fc.constantFrom(" ", "\t", "\r"), "", 8),
    })
    .map((part) => {
      const fields = [`v${index}${part.tail}`, part.device, part.key, part.options].slice(0, part.words);
      const rest = part.words === 4 && part.rest !== "" ? [part.rest] : [];
      return part.lead + [...fields, ...rest].join(part.space) + part.end;
    });

/** Lines that are no volume's. */
export const idleLine = fc.constantFrom(
  "",
  "   ",
  "\t",
  "# a remark",
  "  # data UUID=1 none luks",
  "# schl\xfcssel",
  "alone",
  "#data UUID=1 none",
  "\r",
);

/** What stops the generator of systemd 252: no line after it is read. */
export const stopperLine = fc.constantFrom(
  "stop /dev/sds none tmp,swap",
  "stop /dev/sds none swap,tmp=ext4",
  "v0 /dev/sds none luks",
  "stop /dev/../sds none luks",
);

/** What systemd makes a unit of that it then cannot load. */
export const unreadableLine = fc
  .tuple(
    fc.constantFrom("bad\xe9 /dev/sdz none", "bad /dev/sd\xe9 none", "bad /dev/sdz /\xe9"),
    fc.subarray(["nofail", "_netdev", "noauto"]),
  )
  .map(([line, words]) => `${line} ${["luks", ...words].join(",")}`);

export interface GeneratedVolume {
  readonly index: number;
  readonly line: string;
  /** Lines of fstab. */
  readonly mounts: readonly string[];
}

const MOUNT_OPTIONS = [
  "defaults",
  "noatime",
  "noauto",
  "auto",
  "nofail",
  "fail",
  "_netdev",
  "x-systemd.automount",
  "comment=systemd.automount",
  "x-systemd.device-timeout=30",
  "x-systemd.after=network.target",
  "x-systemd.wanted-by=multi-user.target",
  "x-systemd.required-by=local-fs.target",
  "x-systemd.wanted-by=nightlatch-never.target",
  "ro",
  "user",
  "pri=5",
  "noauto=0",
];

const mountOptions = (count: number): fc.Arbitrary<string> =>
  fc
    .array(
      fc.oneof(
        { arbitrary: fc.constantFrom(...MOUNT_OPTIONS), weight: 8 },
        fc.nat(count).map((n) => `x-systemd.requires=systemd-cryptsetup@v${n}.service`),
        fc.nat(count).map((n) => `x-systemd.requires=/m/v${n}`),
        fc.nat(count).map((n) => `x-systemd.requires=/dev/mapper/v${n}`),
        fc.nat(count).map((n) => `x-systemd.requires-mounts-for=/m/v${n}`),
        fc.nat(count).map((n) => `x-systemd.before=m-v${n}.mount`),
      ),
      { maxLength: 4 },
    )
    .map((words) => words.join(",") || "defaults");

/** A mount of the n-th volume, or of something beside it. */
export const fstabLine = (index: number, name: string, count: number): fc.Arbitrary<string> =>
  fc
    .record({
      source: fc.oneof(
        { arbitrary: fc.constant(`/dev/mapper/${name}`), weight: 5 },
        fc.constantFrom(
          `/dev//mapper/${name}`,
          `/dev/mapper/./${name}/`,
          `/dev/disk/by-id/dm-name-${name}`,
          `/dev/disk/by-id/dm-uuid-CRYPT-LUKS2-${uuidOf(index).replaceAll("-", "")}-${name}`,
          `UUID=${uuidOf(index).toUpperCase()}`,
          `LABEL=fs${index}`,
          "tmpfs",
          "server:/export",
        ),
        fc.nat(count).map((n) => `/m/v${n}/below`),
      ),
      target: fc.oneof(
        { arbitrary: fc.constant(`/m/v${index}`), weight: 5 },
        fc.constantFrom(`/m/v${index}/`, `/m//v${index}`, `/m/v${index}\\040x`, "none", `relative${index}`),
        fc.nat(count).map((n) => `/m/v${n}/in${index}`),
      ),
      type: fc.constantFrom("ext4", "ext4", "xfs", "auto", "swap", "nfs", "none"),
      options: mountOptions(count),
      words: fc.constantFrom(3, 4, 4, 5, 6, 6),
      lead: sometimes(fc.constantFrom(" ", "\t", "#"), "", 8),
      space: fc.constantFrom(" ", "\t", "   "),
    })
    .map(({ source, target, type, options, words, lead, space }) => {
      const bind = source.startsWith("/m/") ? "bind," : "";
      const fields = [source, target, bind === "" ? type : "none", bind + options, "0", "2"];
      return lead + fields.slice(0, words).join(space);
    });

/** The name that a line of crypttab gives, without a parser of ours. */
const nameOf = (line: string): string => /^[ \t\v\f]*([^ \t\v\f\r]+)/.exec(line)?.[1] ?? "";

/** Volumes of one machine, each with lines of fstab. */
export const volumes = (count: number): fc.Arbitrary<GeneratedVolume[]> =>
  fc.tuple(
    ...Array.from({ length: count }, (_, index) =>
      crypttabLine(index, count - 1).chain((line) =>
        fc
          .array(fstabLine(index, nameOf(line), count - 1), { maxLength: 2 })
          .map((mounts) => ({ index, line, mounts })),
      ),
    ),
  );

const prefix = fc.constantFrom("luks", "luks", "rd.luks");
const listed = (count: number) => fc.nat(count).map(uuidOf);

/** Words of the kernel command line that the generator hears. */
export const cmdline = (count: number): fc.Arbitrary<string> =>
  fc
    .array(
      fc.oneof(
        fc.tuple(prefix, listed(count)).map(([p, u]) => `${p}.uuid=${u}`),
        fc.tuple(prefix, listed(count)).map(([p, u]) => `${p}.uuid=luks-${u}`),
        fc.tuple(prefix, listed(count)).map(([p, u]) => `${p}.name=${u}=named`),
        fc.tuple(prefix, listed(count), options(0, count)).map(([p, u, o]) => `${p}.options=${u}=${o}`),
        fc.tuple(prefix, listed(count)).map(([p, u]) => `${p}.key=${u}=/etc/keys/cmdline.key`),
        fc.tuple(prefix, options(0, count)).map(([p, o]) => `${p}.options=${o}`),
        fc.tuple(prefix, fc.constantFrom("0", "no", "1", "yes", "maybe")).map(([p, v]) => `${p}.crypttab=${v}`),
        fc.tuple(prefix, fc.constantFrom("0", "1", "no", "yes")).map(([p, v]) => `${p}=${v}`),
        fc.constantFrom("quiet", "root=/dev/sda1", 'x="a b"', "nofail"),
      ),
      { maxLength: 3 },
    )
    .map((words) => ["ro", ...words].join(" "));
