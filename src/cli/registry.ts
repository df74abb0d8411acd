import type { Command } from "./command.ts";

/** Commands by name. Each is loaded when it is called: the start pays for what is loaded. */
export type Commands = Readonly<Record<string, () => Promise<{ readonly command: Command }>>>;

/** Every command, in the order of the help. */
export const COMMANDS: Commands = {
  reboot: () => import("./commands/reboot/reboot.ts"),
  "oneshot arm": () => import("./commands/oneshot/arm.ts"),
  "oneshot disarm": () => import("./commands/oneshot/disarm.ts"),
  "oneshot status": () => import("./commands/oneshot/status.ts"),
  bind: () => import("./commands/bind/bind.ts"),
  unbind: () => import("./commands/unbind/unbind.ts"),
  rotate: () => import("./commands/rotate/rotate.ts"),
  accept: () => import("./commands/accept.ts"),
  status: () => import("./commands/status.ts"),
  unlock: () => import("./commands/unlock.ts"),
  "recovery add": () => import("./commands/recovery/add.ts"),
  "recovery test": () => import("./commands/recovery/test.ts"),
  "recovery remove": () => import("./commands/recovery/remove.ts"),
  crypttab: () => import("./commands/crypttab/crypttab.ts"),
  check: () => import("./commands/check.ts"),
  agent: () => import("./commands/agent.ts"),
  heartbeat: () => import("./commands/heartbeat.ts"),
  serve: () => import("./commands/serve.ts"),
  "machine invite": () => import("./commands/machine/invite.ts"),
  "machine uninvite": () => import("./commands/machine/uninvite.ts"),
  "machine list": () => import("./commands/machine/list.ts"),
  "machine show": () => import("./commands/machine/show.ts"),
  "machine policy": () => import("./commands/machine/policy.ts"),
  "machine lease": () => import("./commands/machine/lease.ts"),
  "machine lock": () => import("./commands/machine/lock.ts"),
  "machine unlock": () => import("./commands/machine/unlock.ts"),
  "machine revoke": () => import("./commands/machine/revoke.ts"),
  "audit tail": () => import("./commands/audit/tail.ts"),
  "store seal": () => import("./commands/store-seal.ts"),
  "audit verify": () => import("./commands/audit/verify.ts"),
};
