// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { command } from "../../../../../src/cli/commands/reboot/reboot.ts";
import { isError } from "../../../../../src/core/errors.ts";
import type { Programs } from "../../../../support/fake-files.ts";
import { runCommand } from "../../../../support/terminal.ts";
import { writableSystem } from "../../../../support/writable-files.ts";

/** Nothing speaks against a shutdown. */
const calm: Programs = (argv) => (argv[0] === "systemctl" || argv[0] === "kexec" ? {} : undefined);

test("arguments that exclude each other, and ways that there are not", async () => {
  const wrong: [string[], RegExp][] = [
    [["--cancel", "--dry-run"], /--cancel and --dry-run exclude each other/],
    [["--remember", "--forget"], /--remember and --forget exclude each other/],
    [["--via", "magic"], /there is no way "magic"/],
    [["--at-shutdown", "--entry", "x"], /--entry says nothing to --at-shutdown/],
    [["--make-default", "--key-file", "x"], /--key-file says nothing to --make-default/],
    [["--remember", "--kernel", "x"], /--kernel says nothing to --remember/],
    [["--cancel", "--via", "soft"], /--via says nothing to --cancel/],
    [["--via", "bindings", "--key-file", "x"], /--key-file says nothing to an ordinary reboot/],
    [["--via", "soft", "--cmdline", "x"], /--cmdline says nothing to a soft reboot/],
  ];
  for (const [args, message] of wrong) {
    await assert.rejects(
      runCommand(command, args, writableSystem({}, calm)),
      (error) => isError(error, "usage/wrong") && message.test(error.message),
    );
  }
});

test("a way by kexec that is not to be had names the other ways", async () => {
  const off = { "/sys/kernel/kexec_loaded": "0\n", "/proc/sys/kernel/kexec_load_disabled": "1\n" };
  await assert.rejects(
    runCommand(command, ["--via", "kexec", "--dry-run"], writableSystem(off, calm)),
    (error) => isError(error, "kexec/unavailable") && /--via bindings.*--via soft/.test(String(error.remedy)),
  );
});
