/**
 * Streams as async iterators that go on after a break, from the last resume_token that came.
 *
 * A watch (WatchSite, WatchInbox) never ends by itself: once it could be opened it is opened again until its reader
 * leaves it or aborts its signal, when the service ends it, when its token has expired, and when not even a heartbeat came
 * for a while. Heartbeats are not handed on. A stream that says `complete` in its last message is opened again when it
 * ends without, for five minutes in vain at most, counted from the break. What cannot be opened at all is tried as often
 * as any call.
 */
import type { DescMessage, DescMethodServerStreaming, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";

import { mayRenew, type Caller, type CallOptions } from "./calls.ts";
import { errorOf, ServerFault, TryAgain, Unauthenticated, type AtollError } from "./errors.ts";
import { read, requestOf, write } from "./requests.ts";
import { LONGEST_MS, pauseMs, sleep } from "./retries.ts";
import { headersFor } from "./tokens.ts";

const SILENCE_MAX_MS = 45_000;
const REOPEN_MAX_MS = 300_000;

export type StreamOptions = Pick<CallOptions, "signal"> & {
  /** Milliseconds without even a heartbeat after which a watch is opened again. */
  silenceMs?: number;
  /** Told of each break before it is opened again, for a page that says when it is behind. */
  onBreak?: (error: AtollError) => void;
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
  let heard: number | undefined; // When the last message came.
  let broke: number | undefined; // When the first opening since then failed.
  let failures = 0;
  let refused = false;
  for (;;) {
    const opened = Date.now();
    try {
      for await (const message of once(caller, method, request, options.signal, silenceMs, refused)) {
        heard = Date.now();
        broke = undefined;
        if (heard - opened > LONGEST_MS) failures = 0; // What breaks at once each time is opened less and less often.
        refused = false;
        if (from && token && read(message, token)) write(request, from, read(message, token)); // Else after the last one.
        if (!isHeartbeat(method.output, message)) yield message;
        if (complete && read(message, complete)) return;
      }
      if (!from) return;
      throw new ConnectError("ended, though it goes on", Code.Unavailable);
    } catch (thrown) {
      const error = errorOf(thrown, method);
      failures += 1;
      broke ??= Date.now();
      const isVain = heard === undefined ? failures >= caller.attempts : !watches && Date.now() - broke > REOPEN_MAX_MS;
      const wasOpen = heard !== undefined && heard >= opened;
      if (isVain || !from || !mayGoOn(error, wasOpen, caller, refused)) throw error;
      refused = error instanceof Unauthenticated;
      options.onBreak?.(error);
      await sleep(pauseMs(failures, error), options.signal, error);
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

/** A token is asked for anew once: whoever refuses the new one as well refuses its caller. */
function mayGoOn(error: AtollError, wasOpen: boolean, caller: Caller, refused: boolean): boolean {
  const brokeOff = error instanceof TryAgain || (wasOpen && error instanceof ServerFault);
  return brokeOff || (!refused && mayRenew(error, caller.token));
}

function isHeartbeat(output: DescMessage, message: object): boolean {
  return output.members.every((member) => member.localName === "resumeToken" || isUnset(read(message, member)));
}

function isUnset(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return !value || (typeof value === "object" && "case" in value && value.case === undefined);
}
