import { must } from "../../../script/program.ts";

/**
 * A mount and PID namespace of its own: whatever is mounted or left running vanishes with the
 * command, however it ends.
 */
const ENTER = `
set -e
mount -t proc proc "$1/proc"
mount -t sysfs -o ro sys "$1/sys"
mount -t tmpfs -o mode=0755 dev "$1/dev"
for node in null zero full random urandom tty; do
  : > "$1/dev/$node"
  mount --bind "/dev/$node" "$1/dev/$node"
done
mkdir "$1/dev/pts" "$1/dev/shm"
ln -s /proc/self/fd "$1/dev/fd"
ln -s /proc/self/fd/0 "$1/dev/stdin"
ln -s /proc/self/fd/1 "$1/dev/stdout"
ln -s /proc/self/fd/2 "$1/dev/stderr"
exec chroot "$1" /bin/sh -euc "$2"
`;

/**
 * Runs a shell script as root inside a tree, with the mounts that maintainer scripts expect. No
 * service is started in it.
 * @returns what it printed @throws Error
 */
export function runInTree(tree: string, script: string, timeoutMs = 900_000): Promise<string> {
  const environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"];
  const unshare = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"];
  const command = ["nice", "-n", "10", "env", ...environment, ...unshare, "sh", "-c", ENTER, "sh", tree, script];
  return must(command as [string, ...string[]], timeoutMs);
}
