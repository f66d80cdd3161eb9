/** When a call is sent again, and how long to wait before that. */
import { Code, ConnectError } from "@connectrpc/connect";

import { Cancelled, TryAgain, type AtollError } from "./errors.ts";

export const FIRST_MS = 100;
export const LONGEST_MS = 3_000;
const FACTOR = 3;

export interface Patience {
  /** How often a call is made, at most. */
  attempts: number;
  /** When the caller wants to be answered, in milliseconds since 1970. */
  until: number;
  signal: AbortSignal | undefined;
}

/** Waits until the call may be sent again, or throws what it was refused by: only UNAVAILABLE is sent again. */
export async function waitAfter(error: AtollError, attempt: number, patience: Patience): Promise<void> {
  const pause = pauseMs(attempt, error);
  if (!(error instanceof TryAgain) || attempt >= patience.attempts || Date.now() + pause >= patience.until) throw error;
  await sleep(pause, patience.signal, error);
}

/**
 * After the `attempt`-th, counted from 1. Pauses grow; each is cut at random to between a half and the whole, so that
 * callers who failed together do not come back together. What the service asks for is waited out at least.
 */
export function pauseMs(attempt: number, error: AtollError, chance: () => number = Math.random): number {
  const longest = Math.min(LONGEST_MS, FIRST_MS * FACTOR ** (attempt - 1));
  return Math.max(error.retryAfterMs ?? 0, (longest / 2) * (1 + chance()));
}

/** Throws Cancelled if the signal comes first. */
export function sleep(
  milliseconds: number,
  signal: AbortSignal | undefined,
  of: Pick<AtollError, "method" | "requestId">,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancelled = () => {
      clearTimeout(timer);
      reject(new Cancelled(new ConnectError("given up before it was sent again", Code.Canceled), of.method, of.requestId));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", cancelled);
      resolve();
    }, milliseconds);
    if (signal?.aborted) cancelled();
    else signal?.addEventListener("abort", cancelled, { once: true });
  });
}
