import type { Dated } from "./dated.ts";

/**
 * Nobody of a site is released: an operator said so; or so many machines fell silent together, of
 * so many that were there; or the site's window was over, or nobody could tell, when the server was
 * restarted or went on.
 */
export interface SiteHoldEntry extends Dated {
  readonly kind: "site-hold";
  readonly group: string;
  /** Counts the site's holds. */
  readonly hold: number;
  readonly by?: number;
  readonly silent?: number;
  readonly of?: number;
  readonly restart?: 1;
}

/** An operator lets the machines of a site in, so many in so many milliseconds, until then. */
export interface SiteReleaseEntry extends Dated {
  readonly kind: "site-release";
  readonly group: string;
  readonly hold: number;
  /** Counts the site's windows. */
  readonly window: number;
  readonly count: number;
  readonly per: number;
  readonly until: number;
  readonly by: number;
}

/** A site's window is over, and the site is as ever. */
export interface SiteEndEntry extends Dated {
  readonly kind: "site-end";
  readonly group: string;
  readonly hold: number;
}
