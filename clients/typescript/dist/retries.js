/** When a call is sent again, and how long to wait before that. */
import { TryAgain } from "./errors.js";
const FIRST_MS = 100;
const LONGEST_MS = 3_000;
const FACTOR = 3;
/** Waits until the call may be sent again, or throws what it was refused by: only UNAVAILABLE is sent again. */
export async function waitAfter(error, attempt, patience) {
    const pause = pauseMs(attempt, error);
    if (!(error instanceof TryAgain) || attempt >= patience.attempts || Date.now() + pause >= patience.until)
        throw error;
    await sleep(pause, patience.signal);
}
/**
 * After the `attempt`-th, counted from 1. Pauses grow; each is cut at random to between a half and the whole, so that
 * callers who failed together do not come back together. What the service asks for is waited out at least.
 */
export function pauseMs(attempt, error, chance = Math.random) {
    const longest = Math.min(LONGEST_MS, FIRST_MS * FACTOR ** (attempt - 1));
    return Math.max(error.retryAfterMs ?? 0, (longest / 2) * (1 + chance()));
}
/** Rejects with the signal's reason if that comes first. */
export function sleep(milliseconds, signal) {
    return new Promise((resolve, reject) => {
        const cancelled = () => {
            clearTimeout(timer);
            reject(signal?.reason);
        };
        const timer = setTimeout(() => {
            signal?.removeEventListener("abort", cancelled);
            resolve();
        }, milliseconds);
        if (signal?.aborted)
            cancelled();
        else
            signal?.addEventListener("abort", cancelled, { once: true });
    });
}
