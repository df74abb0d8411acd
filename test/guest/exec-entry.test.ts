/**
 * The set-up that people write by hand: a socket and a templated service for each volume, that runs
 * curl against a URL which wants a secret header. Shown at work, then replaced by one `exec` entry
 * of the agent's configuration.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { bootImage } from "./harness/image.ts";
import { makeLuksVolume } from "./harness/luks-volume.ts";
import { startMachine } from "./harness/machine.ts";
import { builtPackage } from "./harness/package.ts";
import { HOST_ADDRESS } from "./harness/qemu.ts";
import { dataGuest, type GuestFile } from "./harness/recipe.ts";
import { onlyInFull } from "./harness/requirements.ts";

const UUID = "5f2f2f0e-6d8d-4a53-8d52-6d4a9be9c1a1";
const URL_PATH = "/keys/volume1";
const PORT = 8080;
const HEADER = "x-machine-secret";

/** Answers with the key where the secret header is right; 403 without. */
async function serveKey(key: string, secret: string) {
  const statuses: number[] = [];
  const server = createServer((request, response) => {
    const status = request.url !== URL_PATH ? 404 : request.headers[HEADER] === secret ? 200 : 403;
    statuses.push(status);
    response.writeHead(status, { connection: "close" }).end(status === 200 ? key : "");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    statuses,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

const CURL = `/usr/bin/curl --silent --fail --max-time 10 --config /etc/keys/volume1.curl`;

/** What the guides say, with their own ordering. */
const BY_HAND: Readonly<Record<string, GuestFile>> = {
  "/etc/systemd/system/fetch-luks-key-volume1.socket": {
    text: `[Unit]
Description=Key of volume1
Before=remote-cryptsetup.target

[Socket]
ListenStream=/run/luks-key-volume1.sock
SocketMode=0600
Accept=yes

[Install]
WantedBy=sockets.target
`,
  },
  "/etc/systemd/system/fetch-luks-key-volume1@.service": {
    text: `[Unit]
Description=Fetch the key of volume1
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=${CURL}
StandardInput=null
StandardOutput=socket
StandardError=journal
`,
  },
};

const crypttab = (socket: string): string => `volume1 UUID=${UUID} ${socket} luks,_netdev,nofail\n`;

test("a hand-made curl socket works, and one exec entry takes its place", { skip: onlyInFull() }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-test-"));
  const secret = randomBytes(12).toString("hex");
  const key = randomBytes(24).toString("hex");
  try {
    await using keys = await serveKey(key, secret);
    const disk = join(folder, "volume1.img");
    await makeLuksVolume(disk, "volume1", 32, {
      passphrase: key,
      uuid: UUID,
      files: { greeting: "hello from volume1\n" },
    });
    const image = await bootImage(dataGuest("bookworm"), {
      deb: await builtPackage(),
      files: {
        ...BY_HAND,
        "/etc/crypttab": { text: crypttab("/run/luks-key-volume1.sock") },
        "/etc/fstab": {
          text: "/dev/vda / ext4 errors=remount-ro 0 1\n/dev/mapper/volume1 /srv ext4 _netdev,nofail 0 2\n",
        },
      },
      commands: ["systemctl enable fetch-luks-key-volume1.socket"],
    });
    await using machine = await startMachine({
      image,
      disks: [{ file: disk, format: "raw", serial: "volume1" }],
      forwards: [{ guestAddress: HOST_ADDRESS, guestPort: PORT, hostPort: keys.port }],
    });
    await machine.login();
    assert.equal((await machine.run("systemctl is-active srv.mount")).stdout, "inactive\n", "no secret, no volume");

    const curl = `header = "${HEADER}: ${secret}"\nurl = "http://${HOST_ADDRESS}:${PORT}${URL_PATH}"\n`;
    await machine.must("umask 077; mkdir -p /etc/keys; cat > /etc/keys/volume1.curl", undefined, curl);
    await machine.reboot();
    await machine.must(WAIT_FOR_MOUNT);
    assert.equal(await machine.must("cat /srv/greeting"), "hello from volume1\n");
    const before = keys.statuses.length;

    await machine.must("systemctl disable fetch-luks-key-volume1.socket");
    await machine.must("rm /etc/systemd/system/fetch-luks-key-volume1*");
    await machine.must("cat > /etc/crypttab", undefined, crypttab("/run/nightlatch/agent.sock"));
    const entry = `[volume.volume1]\nexec = [${CURL.split(" ")
      .map((word) => JSON.stringify(word))
      .join(", ")}]\n`;
    await machine.must("cat > /etc/nightlatch/agent.toml", undefined, entry);
    await machine.reboot();
    await machine.must(WAIT_FOR_MOUNT);
    assert.equal(await machine.must("cat /srv/greeting"), "hello from volume1\n");
    assert.ok(keys.statuses.slice(before).includes(200), "the agent's command fetched the key");
    assert.match(await machine.must("nightlatch check"), /^1 volume: /m);
    const journal = await machine.must("journalctl -b -u nightlatch-agent --no-pager");
    assert.ok(!journal.includes(key) && !journal.includes(secret));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

const WAIT_FOR_MOUNT = "until systemctl is-active --quiet srv.mount; do sleep 1; done";
