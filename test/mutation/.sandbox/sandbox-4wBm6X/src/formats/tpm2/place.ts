/** Where a TPM is: a device of the kernel, or the socket of a software TPM. */
// @ts-nocheck

export type TpmPlace =
  | { readonly kind: "device"; readonly path: string }
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** The kernel's own resource manager, which keeps programs apart. */
const DEVICE = "/dev/tpmrm0";
const SWTPM_PORT = 2321;

/**
 * Reads where the TPM is, as TPM2TOOLS_TCTI says it for tpm2-tools and clevis: `device:PATH`,
 * `swtpm:path=PATH`, `swtpm:host=HOST,port=PORT`. Null where it names another kind, which is not
 * supported. Absent or empty, it is /dev/tpmrm0.
 */
export function parseTpmPlace(text = ""): TpmPlace | null {
  const at = text.indexOf(":");
  const [kind, rest] = at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
  if (kind === "device" || text === "") return { kind: "device", path: rest === "" ? DEVICE : rest };
  if (kind !== "swtpm") return null;
  const settings = new Map(rest === "" ? [] : rest.split(",").map(settingOf));
  const [path, host, port] = ["path", "host", "port"].map((name) => settings.get(name));
  settings.delete("path");
  settings.delete("host");
  settings.delete("port");
  if (settings.size > 0) return null;
  if (path !== undefined) return path === "" || host !== undefined ? null : { kind: "unix", path };
  if (port !== undefined && !/^[1-9]\d{0,4}$/.test(port)) return null;
  const number = port === undefined ? SWTPM_PORT : Number(port);
  return number > 0xffff ? null : { kind: "tcp", host: host ?? "localhost", port: number };
}

function settingOf(text: string): [string, string] {
  const at = text.indexOf("=");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
