/** What a program imports; messages and services come from "@atoll/client/<service>/v1/<file>_pb". */
export { Atoll, type AtollOptions, type Item, type List, type ServiceClient, type Stream, type Unary } from "./atoll.ts";
export type { CallOptions } from "./calls.ts";
export { AtollError, Cancelled, Conflict, Denied, Exhausted, InvalidArgument, NotFound, NotYet, OutOfRange, ServerFault, Stale, TooLate, TryAgain, Unauthenticated, type Reason, type Violation, } from "./errors.ts";
export { Pages } from "./pages.ts";
export type { StreamOptions } from "./streams.ts";
export type { TokenSource } from "./tokens.ts";
export { dateOf, instantOf, minorUnitsOf, moneyOf, timestampOf } from "./values.ts";
