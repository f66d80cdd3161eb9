import { errorOf, Unauthenticated } from "./errors.js";
import { requestIdOf, requestOf } from "./requests.js";
import { waitAfter } from "./retries.js";
import { headersFor } from "./tokens.js";
export async function call(caller, method, given, options = {}) {
    const request = requestOf(method.input, given);
    const until = Date.now() + (options.timeoutMs ?? caller.timeoutMs);
    const patience = { attempts: caller.attempts, until, signal: options.signal };
    let refused = false;
    for (let attempt = 1;; attempt += 1) {
        try {
            const headers = await headersFor(caller.token, refused);
            const left = Math.max(1, until - Date.now());
            const answer = await caller.transport.unary(method, options.signal, left, headers, request);
            return answer.message;
        }
        catch (thrown) {
            const error = errorOf(thrown, method, requestIdOf(method.input, request));
            if (mayRenew(error, caller.token) && !refused)
                refused = true;
            else
                await waitAfter(error, attempt, patience);
        }
    }
}
export function mayRenew(error, token) {
    return error instanceof Unauthenticated && typeof token === "function";
}
