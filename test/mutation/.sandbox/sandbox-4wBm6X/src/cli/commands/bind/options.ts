// @ts-nocheck
import type { CommandInput, Options } from "../../command.ts";
import { KEY_FILE_OPTION, STATE_OPTION } from "../../volume/input.ts";

/** The options of `bind`. */
export const BIND_OPTIONS = {
  config: {
    value: "FILE",
    help: "what the pin is configured with, in clevis's form, in place of its words; - reads standard input",
  },
  "key-file": KEY_FILE_OPTION,
  thumbprint: { value: "THP", help: "of the tang server's signing key, instead of a question" },
  server: { value: "URL", help: "which server's latch, where the machine is enrolled at several" },
  replace: { help: "replace the volume's binding to this server, once the new one is proved" },
  slot: { value: "N", help: "with --replace: the old keyslot, where its server does not prove it any more" },
  setup: { help: "set the initramfs up for a volume that it opens, without a question" },
  "no-setup": { help: "leave the initramfs as it is, and say what it lacks" },
  state: STATE_OPTION,
} as const satisfies Options;

/** What `bind` is run with. */
export type BindInput = CommandInput<typeof BIND_OPTIONS>;
