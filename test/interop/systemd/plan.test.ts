/**
 * What `check` says of which volumes a boot starts, and what its remedies make of it, judged by
 * systemd itself.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { judge } from "../../../src/check/judge/judge.ts";
import { parseFstab } from "../../../src/formats/systemd/fstab.ts";
import { machine, SYSTEMD, volume } from "../../support/machine-facts.ts";
import { noPlan, planBoot, unitOf } from "../../support/systemd/plan.ts";

const UNIT = unitOf("data");
const UUID = "11111111-2222-3333-4444-555555555555";
const REMOTE = "remote-cryptsetup.target";

/**
 * A line of crypttab, one of fstab, whether remote-cryptsetup.target is enabled; whether the boot
 * starts the volume.
 */
const CASES: readonly (readonly [options: string, fstab: string, isEnabled: boolean, starts: boolean])[] = [
  ["luks,_netdev,nofail", "", false, false],
  ["luks,_netdev,nofail", "", true, true],
  ["luks,_netdev", "", false, false],
  ["luks,_netdev,nofail", "UUID=0a3407de-014b-458b-b5c1-848e92a327a3 /srv ext4 _netdev,nofail 0 2", false, false],
  ["luks,_netdev,nofail", "UUID=0a3407de-014b-458b-b5c1-848e92a327a3 /srv ext4 _netdev,nofail 0 2", true, true],
  ["luks,_netdev,nofail", "/dev/mapper/data /srv ext4 _netdev,nofail 0 2", false, true],
  ["luks,_netdev,nofail", "/dev/mapper/data /srv ext4 noauto,_netdev 0 2", false, false],
  ["luks,nofail", "", false, true],
  ["luks,_netdev,noauto", "", true, false],
];

for (const [options, fstab, isEnabled, starts] of CASES) {
  const what = [options, fstab || "no mount", isEnabled ? `${REMOTE} enabled` : ""].filter(Boolean).join("; ");
  test(`systemd and check agree: ${what}`, { skip: noPlan }, () => {
    const line = `data UUID=${UUID} /run/nightlatch/agent.sock ${options}`;
    const { jobs } = planBoot({ crypttab: `${line}\n`, fstab: `${fstab}\n`, enabled: isEnabled ? [REMOTE] : [] });
    assert.equal(jobs.has(UNIT), starts, "systemd");
    const mounts = parseFstab(Buffer.from(fstab)).filter(({ source }) => source === "/dev/mapper/data");
    const facts = machine({ volumes: [volume(line, { mounts })], systemd: { ...SYSTEMD, startsRemote: isEnabled } });
    const says = judge(facts).some(({ code }) => code === "check/nobody-starts");
    assert.equal(says, !starts && !options.includes("noauto"), "check");
  });
}
