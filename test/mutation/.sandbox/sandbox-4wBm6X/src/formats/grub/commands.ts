/**
 * Commands of GRUB that change neither what is in the menu nor what an entry boots, by what is
 * known of their success. "fine": GRUB says that it worked. "doubtful": whether it works depends on
 * the machine, so that both are tried.
 */
// @ts-nocheck

const BESIDE: { readonly [command: string]: "fine" | "doubtful" } = {
  ...each("fine", "echo", "clear", "cat", "date", "ls", "help", "lsmod", "rmmod", "sleep", "gettext", "list_env"),
  ...each("fine", "videoinfo", "vbeinfo", "lspci", "lsacpi", "lsapm", "lsefi", "lsefimmap", "lsefisystab", "lsmmap"),
  ...each("fine", "lsfonts", "lssal", "usb", "play", "password", "password_pbkdf2", "background_color", "list_trusted"),
  ...each("doubtful", "terminal_input", "terminal_output", "serial", "loadfont", "background_image", "keymap"),
  ...each("doubtful", "acpi", "setpci", "devicetree", "loopback", "cryptomount", "zfskey", "trust", "distrust"),
  ...each(
    "doubtful",
    "verify_detached",
    "cpuid",
    "cmp",
    "crc",
    "file",
    "parttool",
    "efiemu_loadcore",
    "badram",
    "cutmem",
  ),
  ...each("doubtful", "net_bootp", "net_dhcp", "net_ls_addr", "net_ls_cards", "usb_keyboard", "spkmodem", "gptsync"),
};

/** They put something else in the machine's hands than a Linux. */
const OTHER_LOADERS = new Set([
  ...["chainloader", "multiboot", "multiboot2", "module", "module2", "xen_hypervisor", "xen_module", "xen_linux"],
  ...["xen_initrd", "ntldr", "freedos", "truecrypt", "plan9", "kfreebsd", "knetbsd", "kopenbsd", "appleloader"],
  ...[
    "kfreebsd_loadenv",
    "kfreebsd_module",
    "kfreebsd_module_elf",
    "knetbsd_module",
    "knetbsd_module_elf",
    "kopenbsd_ramdisk",
  ],
  ...["xnu_kernel", "xnu_kernel64", "xnu_kext", "xnu_mkext", "xnu_kextdir", "xnu_ramdisk", "xnu_splash", "xnu_resume"],
]);

/** They leave GRUB, or the machine. */
const ENDS = new Set(["exit", "halt", "reboot", "fwsetup", "normal_exit"]);

/** Commands whose effect is followed, beside those of `builtins` in grub-builtins.ts. */
const LINUX = new Set(["linux", "linux16", "linuxefi"]);
const INITRD = new Set(["initrd", "initrd16", "initrdefi"]);

/** Names that grub.cfg calls and that no GRUB has: it says so, and goes on as if nothing were. */
const NO_COMMANDS = new Set(["load_video", "gfxmode", "savedefault", "recordfail"]);

/**
 * Commands of GRUB's that are not followed here: they ask a person or the hardware, or read other
 * languages.
 */
const NOT_FOLLOWED = new Set([
  ...[
    "915resolution",
    "all_functional_test",
    "authenticate",
    "backtrace",
    "blocklist",
    "bli",
    "blsuki",
    "cbmemc",
    "cmosclean",
  ],
  ...["cmosdump", "cmosset", "cmostest", "coreboot_boottime", "drivemap", "dump", "efi-watchdog", "efiemu_prepare"],
  ...["efiemu_unload", "efitextmode", "extract_entries_configfile", "extract_entries_source", "fakebios", "fix_video"],
  ...["extract_legacy_entries_configfile", "extract_legacy_entries_source", "extract_syslinux_entries_configfile"],
  ...[
    "extract_syslinux_entries_source",
    "functional_test",
    "gdbstub",
    "gdbstub_break",
    "gdbstub_stop",
    "getenv",
    "gptprio.next",
  ],
  ...["hashsum", "hdparm", "hello", "hexdump", "hexdump_random", "inb", "inl", "inw", "legacy_check_password"],
  ...[
    "legacy_configfile",
    "legacy_initrd",
    "legacy_initrd_nounzip",
    "legacy_kernel",
    "legacy_password",
    "legacy_source",
  ],
  ...["loadbios", "lscoreboot", "macppcbless", "mactelbless", "md5sum", "nativedisk", "net_add_addr", "net_add_dns"],
  ...["net_add_route", "net_bootp6", "net_del_addr", "net_del_dns", "net_del_route", "net_get_dhcp_option"],
  ...[
    "net_ipv6_autoconf",
    "net_ls_dns",
    "net_ls_routes",
    "net_nslookup",
    "net_set_vlan",
    "normal",
    "outb",
    "outl",
    "outw",
  ],
  ...[
    "pcidump",
    "plainmount",
    "probe",
    "pxechainloader",
    "rdmsr",
    "read",
    "read_byte",
    "read_dword",
    "read_word",
    "sendkey",
  ],
  ...[
    "sha1sum",
    "sha256sum",
    "sha512sum",
    "smbios",
    "syslinux_configfile",
    "syslinux_source",
    "terminfo",
    "test_blockarg",
  ],
  ...[
    "testload",
    "testspeed",
    "time",
    "tr",
    "uki",
    "vbetest",
    "version",
    "videotest",
    "write_byte",
    "write_dword",
    "write_word",
  ],
  ...["wrmsr", "xnu_devprop_load", "xnu_uuid", "zfs-bootfs", "zfsinfo"],
]);

type CommandKind =
  | ("fine" | "doubtful" | "other loader" | "end" | "linux" | "initrd")
  | ("no command" | "not followed")
  | null;

/**
 * Tells what is known of a command that is not followed in itself. Null for one that is not known.
 */
export function commandKind(name: string): CommandKind {
  if (LINUX.has(name)) return "linux";
  if (INITRD.has(name)) return "initrd";
  if (OTHER_LOADERS.has(name)) return "other loader";
  if (ENDS.has(name)) return "end";
  if (NO_COMMANDS.has(name)) return "no command";
  if (NOT_FOLLOWED.has(name)) return "not followed";
  return (Object.hasOwn(BESIDE, name) ? BESIDE[name] : undefined) ?? null;
}

function each<K extends string>(kind: K, ...names: readonly string[]): { [name: string]: K } {
  return Object.fromEntries(names.map((name) => [name, kind]));
}
