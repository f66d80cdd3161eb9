/** When a call is sent again, and how long to wait before that. */
import { type AtollError } from "./errors.ts";
export interface Patience {
    /** How often a call is made, at most. */
    attempts: number;
    /** When the caller wants to be answered, in milliseconds since 1970. */
    until: number;
    signal: AbortSignal | undefined;
}
/** Waits until the call may be sent again, or throws what it was refused by: only UNAVAILABLE is sent again. */
export declare function waitAfter(error: AtollError, attempt: number, patience: Patience): Promise<void>;
/**
 * After the `attempt`-th, counted from 1. Pauses grow; each is cut at random to between a half and the whole, so that
 * callers who failed together do not come back together. What the service asks for is waited out at least.
 */
export declare function pauseMs(attempt: number, error: AtollError, chance?: () => number): number;
/** Rejects with the signal's reason if that comes first. */
export declare function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void>;
