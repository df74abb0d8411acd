// @ts-nocheck
import type { System } from "../../system/port.ts";

const ENABLED = ["cryptsetup.target.wants", "remote-cryptsetup.target.wants"].map(
  (folder) => `/etc/systemd/system/${folder}/clevis-luks-askpass.path`,
);

/**
 * Whether stock clevis answers systemd's passphrase prompts at the next boot, which it does where
 * its path unit is enabled.
 */
export async function clevisAnswers(system: Pick<System, "stat">): Promise<boolean> {
  const links = await Promise.all(ENABLED.map((path) => system.stat(path)));
  return links.some((facts) => facts !== null);
}
