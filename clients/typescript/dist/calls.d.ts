/** One call, answered once: checked, given a request_id and a token, sent again where that is safe. */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { type AtollError } from "./errors.ts";
import { type TokenSource } from "./tokens.ts";
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
export declare function call<I extends DescMessage, O extends DescMessage>(caller: Caller, method: DescMethodUnary<I, O>, given: MessageInitShape<I>, options?: CallOptions): Promise<MessageShape<O>>;
export declare function mayRenew(error: AtollError, token: TokenSource | undefined): boolean;
