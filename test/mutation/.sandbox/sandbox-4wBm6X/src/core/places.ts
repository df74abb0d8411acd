/** The agent's socket, on a machine that was set up by the package, as all paths here. */
// @ts-nocheck

export const AGENT_SOCKET = "/run/nightlatch/agent.sock";
/** The agent's configuration: docs/format/agent-config.md. */
export const AGENT_CONFIG = "/etc/nightlatch/agent.toml";
/** What a machine keeps about itself: its identity, and the records of its volumes. */
export const MACHINE_STATE = "/var/lib/nightlatch/machine";
/** The key server's store. */
export const SERVER_STORE = "/var/lib/nightlatch-server/store";
/** The key server's socket for operators. */
export const OPERATOR_SOCKET = "/run/nightlatch-server/admin.sock";
/** What is staged for one reboot; it goes with it. */
export const REBOOT_FOLDER = "/run/nightlatch-reboot";
/** What servers have answered to this machine's heartbeats, for its tether. */
export const HEARD_FILE = "/run/nightlatch-heartbeat/heard.json";
/** What the tether keeps until the machine goes off. */
export const TETHER_FOLDER = "/run/nightlatch-tether";
