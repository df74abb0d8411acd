/** What every entry of the log has: docs/format/audit.md. */
export interface Dated {
  /** Milliseconds since the epoch, by the server's clock. */
  readonly at: number;
}
