/**
 * Joins the arguments of `linux` to the command line that GRUB gives a kernel
 * (grub-core/lib/cmdline.c, grub_create_loader_cmdline). An argument with a space stands in double
 * quotes. A quote or backslash has a backslash before it, unless it begins `\xHH`.
 */
// @ts-nocheck

export function grubCmdline(args: readonly string[]): string {
  return args.map(quoted).join(" ");
}

function quoted(arg: string): string {
  const escaped = arg.replace(/\\x[0-9a-f]{2}|[\\'"]/gi, (found) => (found.length > 1 ? found : `\\${found}`));
  return arg.includes(" ") ? `"${escaped}"` : escaped;
}
