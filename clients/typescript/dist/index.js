/** What a program imports; messages and services come from "@atoll/client/<service>/v1/<file>_pb". */
export { Atoll } from "./atoll.js";
export { AtollError, Cancelled, Conflict, Denied, Exhausted, InvalidArgument, NotFound, NotYet, OutOfRange, ServerFault, Stale, TooLate, TryAgain, Unauthenticated, } from "./errors.js";
export { Pages } from "./pages.js";
export { dateOf, instantOf, minorUnitsOf, moneyOf, timestampOf } from "./values.js";
