/** Whether a site is as ever, held, or in the window that an operator has opened after a hold. */
export type SiteState = "free" | "held" | "open";
