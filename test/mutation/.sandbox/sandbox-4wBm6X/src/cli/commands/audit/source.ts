// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import { SERVER_STORE } from "../../../core/places.ts";
import type { AuditSource } from "../../../server/audit/verify.ts";
import { storePath } from "../../../server/store/folder/paths.ts";
import { openAuditSource } from "../../../server/store/sqlite/audit-source.ts";
import type { System } from "../../../system/port.ts";
import type { Options } from "../../command.ts";
import { openRemoteAudit } from "./remote.ts";

/** Where the log is: of every command that reads all of it. */
export const SOURCE_OPTIONS = {
  data: { value: "DIR", help: `data folder of the server (default ${SERVER_STORE})` },
  admin: { value: "SOCKET", help: "ask the running server in place of reading its folder" },
} as const satisfies Options;

/**
 * Opens the log that the options name.
 * @param command for what is said of wrong usage
 * @throws NightlatchError usage/wrong, store/*, admin/*
 */
export async function openSource(
  command: string,
  { data, admin }: { readonly data: string | undefined; readonly admin: string | undefined },
  system: Pick<System, "request" | "stat">,
): Promise<AuditSource & Disposable> {
  if (data !== undefined && admin !== undefined) {
    throw new NightlatchError("usage/wrong", `${command}: --data and --admin exclude each other`, {
      remedy: `See: nightlatch ${command} --help`,
    });
  }
  if (admin !== undefined) return openRemoteAudit(system, admin);
  const path = storePath(data ?? SERVER_STORE);
  if ((await system.stat(path)) !== null) return openAuditSource(path);
  throw new NightlatchError("store/missing", `there is no store at ${path}`, {
    remedy: "Name the server's data folder with --data, or its admin socket with --admin.",
  });
}
