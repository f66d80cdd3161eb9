import { Code, ConnectError } from "@connectrpc/connect";
import { mayRenew } from "./calls.js";
import { errorOf, TryAgain, Unauthenticated } from "./errors.js";
import { read, requestOf, write } from "./requests.js";
import { pauseMs, sleep } from "./retries.js";
import { headersFor } from "./tokens.js";
const SILENCE_MAX_MS = 45_000;
export async function* follow(caller, method, given, options = {}) {
    const request = requestOf(method.input, given);
    const from = method.input.field["resumeToken"];
    const token = method.output.field["resumeToken"];
    const watches = method.name.startsWith("Watch");
    const silenceMs = watches ? (options.silenceMs ?? SILENCE_MAX_MS) : undefined;
    let failures = 0;
    let refused = false;
    for (;;) {
        try {
            for await (const message of once(caller, method, request, options.signal, silenceMs, refused)) {
                failures = 0;
                refused = false;
                if (from && token)
                    write(request, from, read(message, token));
                if (!isHeartbeat(method.output, message))
                    yield message;
            }
            if (!watches)
                return;
        }
        catch (thrown) {
            const error = errorOf(thrown, method);
            failures += 1;
            if (failures >= caller.attempts || !from || !mayGoOn(error, caller))
                throw error;
            refused = error instanceof Unauthenticated;
            await sleep(pauseMs(failures, error), options.signal);
        }
    }
}
/** Opened once, until it ends, breaks or falls silent. */
async function* once(caller, method, request, signal, silenceMs, refused) {
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
        const answer = await caller.transport.stream(method, either, undefined, headers, only(request));
        const messages = answer.message[Symbol.asyncIterator](); // To be ended by the signal: its own end waits for the next.
        for (let next = await messages.next(); !next.done; next = await messages.next()) {
            clearTimeout(timer);
            yield next.value;
            timer = listen();
        }
    }
    catch (thrown) {
        throw silent ? new ConnectError("not even a heartbeat came", Code.Unavailable) : thrown;
    }
    finally {
        clearTimeout(timer);
        over.abort(); // Whoever stops reading ends the stream.
    }
}
async function* only(value) {
    yield value;
}
function mayGoOn(error, caller) {
    return error instanceof TryAgain || (error.reason === "TOKEN_EXPIRED" && mayRenew(error, caller.token));
}
function isHeartbeat(output, message) {
    return output.members.every((member) => member.localName === "resumeToken" || isUnset(read(message, member)));
}
function isUnset(value) {
    if (Array.isArray(value))
        return value.length === 0;
    return !value || (typeof value === "object" && "case" in value && value.case === undefined);
}
