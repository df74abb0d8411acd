/** A P-256 scalar, big-endian. */
export const SCALAR_BYTES = 32;
/** A P-256 point, uncompressed: 0x04 ‖ x ‖ y (SEC 1 section 2.3.3). */
export const POINT_BYTES = 65;

/**
 * The server's half of the McCallum–Relyea exchange on P-256: Y = sX. The server learns nothing of
 * the disk's key, because the client has blinded X.
 */
export interface Exchange {
  readonly name: "openssl" | "node";
  /** Whether the bytes are a point of the curve, uncompressed, not infinity. */
  isPoint(point: Buffer): boolean;
  /**
   * Multiplies a point that a client has sent.
   * @param scalar s, usable as isUsableScalar of formats/tang/ecmr.ts judges; it stays the caller's
   *   to wipe
   * @param point X, which need not be trusted
   * @returns Y, never the point at infinity
   * @throws RangeError where X is not a point of the curve
   */
  multiply(scalar: Buffer, point: Buffer): Buffer;
}

/** Multiplies elsewhere than on the thread that has the event loop. */
export interface ExchangeThread extends AsyncDisposable {
  /**
   * Multiplies all at once.
   * @param memory jobs as in jobs.ts; it is handed over, and nobody else holds it
   * @returns the same jobs with their products, and without their scalars
   * @throws Error where the thread has ended
   */
  multiplyAll(memory: ArrayBuffer): Promise<ArrayBuffer>;
}

/** Starts a thread. Null, or any error, where there is none to be had. */
export type OpenExchangeThread = () => Promise<ExchangeThread | null>;
