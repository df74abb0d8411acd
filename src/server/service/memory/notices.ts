/** What operators are told of as it happens: docs/format/webhook.md. */
export type Notice = RequestNotice | SiteNotice;

/** So many machines of a site fell silent together, of so many that were there: it is held. */
export interface SiteNotice {
  readonly type: "site.held";
  readonly site: string;
  readonly silent: number;
  readonly of: number;
}

/** A machine waits for operators, or what became of that. */
export interface RequestNotice {
  readonly type: "request.new" | "request.approved" | "request.denied" | "request.expired";
  readonly request: string;
  /** The machine's name. */
  readonly machine: string;
  /** The address that it is to be released to. */
  readonly from: string;
  /** User ids of the operators who have approved. */
  readonly approvedBy: readonly number[];
  /** When the request expires, in milliseconds since the epoch. */
  readonly expiresMs: number;
}

/**
 * Where notices go. It is called once what they tell of is durable, and must give back at once:
 * whoever delivers them does so by himself. Until somebody takes them they go nowhere.
 */
export class Notices {
  #take: (notice: Notice) => void = () => {};

  /** Has them delivered from now on. */
  deliverTo(take: (notice: Notice) => void): void {
    this.#take = take;
  }

  /** Passes one on. */
  tell(notice: Notice): void {
    this.#take(notice);
  }
}
