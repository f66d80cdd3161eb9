/** One call, answered once: checked, given a request_id and a token, sent again where that is safe. */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";

import { errorOf, Unauthenticated, type AtollError } from "./errors.ts";
import { requestIdOf, requestOf } from "./requests.ts";
import { waitAfter } from "./retries.ts";
import { headersFor, type TokenSource } from "./tokens.ts";

export interface CallOptions {
  signal?: AbortSignal;
  /** For the whole call, its retries included; of a list, for each page. */
  timeoutMs?: number;
}

/** What every call of a client shares. */
export interface Caller {
  transport: Transport;
  token: TokenSource | undefined;
  timeoutMs: number;
  attempts: number;
}

export async function call<I extends DescMessage, O extends DescMessage>(
  caller: Caller,
  method: DescMethodUnary<I, O>,
  given: MessageInitShape<I>,
  options: CallOptions = {},
): Promise<MessageShape<O>> {
  const request = requestOf(method.input, given);
  const until = Date.now() + (options.timeoutMs ?? caller.timeoutMs);
  const patience = { attempts: caller.attempts, until, signal: options.signal };
  let refused = false;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const headers = await headersFor(caller.token, refused);
      const left = Math.max(1, until - Date.now());
      const answer = await caller.transport.unary(method, options.signal, left, headers, request as MessageInitShape<I>);
      return answer.message;
    } catch (thrown) {
      const error = errorOf(thrown, method, requestIdOf(method.input, request));
      if (mayRenew(error, caller.token) && !refused) refused = true;
      else await waitAfter(error, attempt, patience);
    }
  }
}

export function mayRenew(error: AtollError, token: TokenSource | undefined): boolean {
  return error instanceof Unauthenticated && typeof token === "function";
}
