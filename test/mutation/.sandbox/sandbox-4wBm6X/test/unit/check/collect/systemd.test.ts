// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readSystemd } from "../../../../src/check/collect/systemd.ts";
import type { RunRequest } from "../../../../src/system/port.ts";

const REMOTE = "remote-cryptsetup.target";

/** Units by name, with those that pull each in, in systemctl's words. */
type Units = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** A systemd that knows these units, and under what name the boot begins. */
function systemd(units: Units, boot = "graphical.target") {
  return {
    stat: async () => ({ isSocket: false, mode: 0o755, uid: 0 }) as never,
    run: async ({ argv }: RunRequest) => {
      const names = argv[0] === "systemctl" ? argv.slice(argv.indexOf("--") + 1) : [];
      const asked =
        argv
          .find((word) => word.startsWith("--property="))
          ?.slice("--property=".length)
          .split(",") ?? [];
      const stdout = names
        .map((name) => (name === "default.target" ? boot : name))
        .filter((name) => units[name] !== undefined || name === boot)
        .map((name) => ({ Id: name, ...units[name] }) as Record<string, string>)
        .map((unit) => asked.flatMap((key) => (unit[key] === undefined ? [] : [`${key}=${unit[key]}\n`])).join(""))
        .join("\n");
      return { status: 0, stdout: Buffer.from(stdout), stderr: Buffer.alloc(0) } as never;
    },
  };
}

async function startsRemote(units: Units, boot?: string): Promise<boolean | undefined> {
  return (await readSystemd(systemd(units, boot), new Set()))?.startsRemote;
}

test("a target is part of the boot where the boot pulls it in, and not where only the initramfs does", async () => {
  const disabled = { UnitFileState: "disabled" };
  // As Debian 12's systemd tells it on a machine that runs.
  const initrd = { "initrd-root-device.target": { WantedBy: "", RequiredBy: "initrd.target" }, "initrd.target": {} };
  assert.equal(
    await startsRemote({ ...initrd, [REMOTE]: { ...disabled, WantedBy: "initrd-root-device.target" } }),
    false,
  );
  const enabled = { UnitFileState: "enabled", WantedBy: "initrd-root-device.target multi-user.target" };
  assert.equal(await startsRemote({ ...initrd, [REMOTE]: enabled }), true);
  const byHand = { ...disabled, WantedBy: "initrd-root-device.target own.service" };
  const own = {
    "own.service": { WantedBy: "multi-user.target" },
    "multi-user.target": { RequiredBy: "graphical.target" },
  };
  assert.equal(await startsRemote({ ...initrd, ...own, [REMOTE]: byHand }), true);
  assert.equal(await startsRemote({ ...initrd, ...own, [REMOTE]: byHand }, "multi-user.target"), true);
  assert.equal(await startsRemote({ ...initrd, ...own, [REMOTE]: byHand }, "rescue.target"), false);
  assert.equal(await startsRemote({ [REMOTE]: { UnitFileState: "masked", WantedBy: "graphical.target" } }), false);
  assert.equal(await startsRemote({ [REMOTE]: disabled }), false);
  assert.equal(await startsRemote({}), true);
});

test("whatever pulls what in, it ends, and says what reaching from the boot says", async () => {
  const name = fc.constantFrom("a", "b", "c", "d", "e", "f", "graphical.target", REMOTE);
  const kind = fc.constantFrom("WantedBy", "RequiredBy", "BoundBy", "UpheldBy");
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(name, kind, name), { maxLength: 14 }), async (pulls) => {
      const units: Record<string, Record<string, string>> = { [REMOTE]: { UnitFileState: "disabled" } };
      for (const [lower, by, upper] of pulls) {
        units[lower] = { ...units[lower], [by]: [units[lower]?.[by], upper].filter(Boolean).join(" ") };
        units[upper] ??= {};
      }
      const reached = new Set(["graphical.target"]);
      for (let size = 0; size < reached.size; ) {
        size = reached.size;
        for (const [lower, , upper] of pulls) if (reached.has(upper)) reached.add(lower);
      }
      assert.equal(await startsRemote(units), reached.has(REMOTE));
    }),
  );
});
