/**
 * Streams as async iterators that go on after a break, from the last resume_token that came.
 *
 * A watch (WatchSite, WatchInbox) never ends by itself: it is opened again when the service ends it, when its token has
 * expired, and when not even a heartbeat came for a while. Heartbeats are not handed on.
 */
import type { DescMessage, DescMethodServerStreaming, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { type Caller, type CallOptions } from "./calls.ts";
export type StreamOptions = Pick<CallOptions, "signal"> & {
    /** Milliseconds without even a heartbeat after which a watch is opened again. */
    silenceMs?: number;
};
export declare function follow<I extends DescMessage, O extends DescMessage>(caller: Caller, method: DescMethodServerStreaming<I, O>, given: MessageInitShape<I>, options?: StreamOptions): AsyncGenerator<MessageShape<O>>;
