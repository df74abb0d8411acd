// @ts-nocheck
import { libcFunction } from "../native/native.ts";

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;

/**
 * Tells systemd that the service is ready, where the unit asked to be told (Type=notify,
 * sd_notify(3)).
 */
export function notifyReady(env: Readonly<Record<string, string | undefined>>): void {
  const path = env["NOTIFY_SOCKET"];
  if (path === undefined || !/^[/@]./.test(path)) return;
  const descriptor = libcFunction("int socket(int, int, int)")(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  const address = socketAddress(path);
  const message = Buffer.from("READY=1");
  libcFunction("long sendto(int, void *, unsigned long, int, void *, unsigned int)")(
    descriptor,
    message,
    message.length,
    0,
    address,
    address.length,
  );
  libcFunction("int close(int)")(descriptor);
}

/** sockaddr_un (unix(7)); a leading @ stands for the abstract namespace. */
function socketAddress(path: string): Buffer {
  const address = Buffer.alloc(2 + Buffer.byteLength(path) + (path.startsWith("/") ? 1 : 0));
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, 2);
  if (path.startsWith("@")) address[2] = 0;
  return address;
}
