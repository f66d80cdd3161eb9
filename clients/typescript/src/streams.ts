/**
 * Streams as async iterators that go on after a break, from the last resume_token that came.
 *
 * A watch (WatchSite, WatchInbox) never ends by itself: it is opened again when the service ends it, when its token has
 * expired, and when not even a heartbeat came for a while. Heartbeats are not handed on. A stream that says `complete` in
 * its last message is opened again when it ends without.
 */
import type { DescMessage, DescMethodServerStreaming, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";

import { mayRenew, type Caller, type CallOptions } from "./calls.ts";
import { errorOf, TryAgain, Unauthenticated, type AtollError } from "./errors.ts";
import { read, requestOf, write } from "./requests.ts";
import { pauseMs, sleep } from "./retries.ts";
import { headersFor } from "./tokens.ts";

const SILENCE_MAX_MS = 45_000;

export type StreamOptions = Pick<CallOptions, "signal"> & {
  /** Milliseconds without even a heartbeat after which a watch is opened again. */
  silenceMs?: number;
};

export async function* follow<I extends DescMessage, O extends DescMessage>(
  caller: Caller,
  method: DescMethodServerStreaming<I, O>,
  given: MessageInitShape<I>,
  options: StreamOptions = {},
): AsyncGenerator<MessageShape<O>> {
  const request = requestOf(method.input, given);
  const from = method.input.field["resumeToken"];
  const token = method.output.field["resumeToken"];
  const complete = method.output.field["complete"];
  const watches = token !== undefined && complete === undefined;
  const silenceMs = watches ? (options.silenceMs ?? SILENCE_MAX_MS) : undefined;
  let failures = 0;
  let refused = false;
  for (;;) {
    try {
      for await (const message of once(caller, method, request, options.signal, silenceMs, refused)) {
        failures = 0;
        refused = false;
        if (from && token && read(message, token)) write(request, from, read(message, token)); // Else after the last one.
        if (!isHeartbeat(method.output, message)) yield message;
        if (complete && read(message, complete)) return;
      }
      if (!from) return;
    } catch (thrown) {
      const error = errorOf(thrown, method);
      failures += 1;
      if (failures >= caller.attempts || !from || !mayGoOn(error, caller)) throw error;
      refused = error instanceof Unauthenticated;
      await sleep(pauseMs(failures, error), options.signal);
    }
  }
}

/** Opened once, until it ends, breaks or falls silent. */
async function* once<I extends DescMessage, O extends DescMessage>(
  caller: Caller,
  method: DescMethodServerStreaming<I, O>,
  request: MessageShape<I>,
  signal: AbortSignal | undefined,
  silenceMs: number | undefined,
  refused: boolean,
): AsyncGenerator<MessageShape<O>> {
  const over = new AbortController();
  const either = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
  let silent = false;
  const giveUp = () => {
    silent = true;
    over.abort();
  };
  const listen = () => (silenceMs === undefined ? undefined : setTimeout(giveUp, silenceMs));
  let timer = listen();
  try {
    const headers = await headersFor(caller.token, refused);
    const answer = await caller.transport.stream(method, either, undefined, headers, only(request as MessageInitShape<I>));
    const messages = answer.message[Symbol.asyncIterator](); // To be ended by the signal: its own end waits for the next.
    for (let next = await messages.next(); !next.done; next = await messages.next()) {
      clearTimeout(timer);
      yield next.value;
      timer = listen();
    }
  } catch (thrown) {
    throw silent ? new ConnectError("not even a heartbeat came", Code.Unavailable) : thrown;
  } finally {
    clearTimeout(timer);
    over.abort(); // Whoever stops reading ends the stream.
  }
}

async function* only<T>(value: T): AsyncGenerator<T> {
  yield value;
}

function mayGoOn(error: AtollError, caller: Caller): boolean {
  return error instanceof TryAgain || (error.reason === "TOKEN_EXPIRED" && mayRenew(error, caller.token));
}

function isHeartbeat(output: DescMessage, message: object): boolean {
  return output.members.every((member) => member.localName === "resumeToken" || isUnset(read(message, member)));
}

function isUnset(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return !value || (typeof value === "object" && "case" in value && value.case === undefined);
}
