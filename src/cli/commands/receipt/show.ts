import { isError, type NightlatchError } from "../../../core/errors.ts";
import { AGENT_CONFIG } from "../../../core/places.ts";
import { printable } from "../../../core/text.ts";
import { AGENT_CONFIG_LIMIT_BYTES, type WitnessConfig } from "../../../formats/own/agent-config.ts";
import { parseAgentConfig } from "../../../formats/own/agent-config-file.ts";
import type { Growth, ProvedReceipt } from "../../../formats/own/receipt.ts";
import { latchIdIn, type VolumeRecord } from "../../../formats/own/volume-record.ts";
import { listVolumeRecords } from "../../../luks/bound/records.ts";
import { type EnrolledServer, listServers } from "../../../pins/latch/machine.ts";
import { askReceipt, forgiveMissing, notCosigned } from "../../../pins/latch/receipt.ts";
import type { System } from "../../../system/port.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../../command.ts";
import { timeText } from "../../time-text.ts";
import { STATE_OPTION } from "../../volume/input.ts";

const OPTIONS = {
  state: STATE_OPTION,
  config: { value: "FILE", help: "its [witness] says who must have signed the log", default: AGENT_CONFIG },
} as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "receipt show",
  summary: "when each volume's key was last released, and to which address, as its server's log proves it",
  maxOperands: 0,
  options: OPTIONS,
  details: `Asks every server that this machine is enrolled at, once for each volume that is bound there. The server proves that the release is
in its log, and that the log has grown from the one that this machine saw before. Where the configuration
file names witnesses, they must have signed it. What it cannot prove is told, and the status is 1.
A release that nobody here asked for means that somebody else has asked with a copy of the volume's header.`,
  run,
});

/** One attempt; whoever types it can type it again. */
const TIMEOUT_MS = 10_000;

async function run({ options: { state, config }, system, terminal }: Input): Promise<ExitStatus> {
  const witness = await readWitness(system, config);
  const servers = await listServers(system, state);
  const records = await listVolumeRecords(system, state);
  const receipts: Record<string, unknown>[] = [];
  let ok = true;
  for (const server of servers) {
    const { host } = new URL(server.url);
    const latches = latchesAt(records, server);
    if (latches.length === 0) terminal.line(`${host}: no volume of this machine is on record as bound there.`);
    for (const { volume, latch } of latches) {
      const common = { server: server.url, volume, latch };
      try {
        const proved = await askReceipt(system, state, server, latch, { timeoutMs: TIMEOUT_MS, witness });
        terminal.line(`${host}, volume ${printable(volume)}: ${proved === null ? NO_RECEIPTS : describe(proved)}`);
        receipts.push({ ...common, ...(proved === null ? { supported: false } : jsonOf(proved)) });
        const witnessed = proved?.witnessed ?? null;
        if (witnessed === null) continue;
        if (!witnessed.isEnough) {
          ok = false;
          tellFailure(terminal, `${host}, volume ${printable(volume)}`, notCosigned(server, witnessed, witness));
          continue;
        }
        const known = await forgiveMissing(system, state, server);
        const again = known ? " It is asked for keys again." : "";
        terminal.line(`  Signed up to entry ${witnessed.size} by ${witnessed.by.join(", ")}.${again}`);
      } catch (error) {
        if (!isError(error)) throw error;
        ok = false;
        tellFailure(terminal, `${host}, volume ${printable(volume)}`, error);
        receipts.push({ ...common, error: error.code });
      }
    }
  }
  if (servers.length === 0) terminal.line("This machine is enrolled at no server.");
  terminal.result({ ok, receipts });
  return ok ? 0 : 1;
}

async function readWitness(system: Pick<System, "readFileIfPresent">, path: string): Promise<WitnessConfig | null> {
  const text = await system.readFileIfPresent(path, AGENT_CONFIG_LIMIT_BYTES);
  return text === null ? null : parseAgentConfig(text, path).witness;
}

const NO_RECEIPTS = "the server is of a version that gives no receipts.";

/** The volumes that are bound to latches of a server, with the latches' ids. */
function latchesAt(
  records: readonly VolumeRecord[],
  { thumbprint }: EnrolledServer,
): { readonly volume: string; readonly latch: string }[] {
  return records.flatMap(({ volume, latches }) =>
    latches.flatMap(({ url, server }) => {
      const latch = latchIdIn(url);
      return server === thumbprint && latch !== null ? [{ volume, latch }] : [];
    }),
  );
}

const GROWTH: Readonly<Record<Exclude<Growth, "went-back" | "unknown">, string>> = {
  first: "It is the first that this machine sees of the log.",
  grown: "The log has grown from the one that was seen before.",
  "rolled-back":
    "The log says that an older copy of the store was taken into use since: ask who runs the server what was locked or revoked before.",
};

function describe({ receipt, checkpoint, growth }: ProvedReceipt): string {
  const of = `of ${checkpoint.size}`;
  const told = GROWTH[growth as keyof typeof GROWTH];
  if (receipt === null) return `its key was never released. ${told}`;
  const when = timeText(new Date(receipt.atMs).toISOString());
  const where = receipt.from === null ? "many addresses" : printable(receipt.from);
  const how = receipt.kind === "release" ? "last released" : "released again and again, last told";
  return `${how} ${when}, to ${where} (entry ${receipt.number} ${of}, proved). ${told}`;
}

function jsonOf({ receipt, checkpoint, growth, witnessed }: ProvedReceipt): Record<string, unknown> {
  return {
    size: checkpoint.size,
    growth,
    ...(witnessed === null ? {} : { cosigned: { size: witnessed.size, by: witnessed.by, enough: witnessed.isEnough } }),
    release:
      receipt === null
        ? null
        : {
            number: receipt.number,
            kind: receipt.kind,
            at: new Date(receipt.atMs).toISOString(),
            from: receipt.from,
          },
  };
}

function tellFailure(terminal: Input["terminal"], what: string, error: NightlatchError): void {
  terminal.line(`${what}: ${error.message} [${error.code}]`);
  for (const more of [error.meaning, error.remedy]) if (more !== undefined) terminal.line(`  ${more}`);
}
