import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { call } from "./calls.js";
import { listedField, Pages } from "./pages.js";
import { follow } from "./streams.js";
const TIMEOUT_MS = 20_000;
const ATTEMPTS = 6;
export class Atoll {
    #caller;
    constructor(options) {
        this.#caller = {
            transport: options.transport ?? createGrpcWebTransport({ baseUrl: options.url, useBinaryFormat: true }),
            token: options.token,
            timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
            attempts: options.attempts ?? ATTEMPTS,
        };
    }
    /** `atoll.service(CourseService).planCourse({ … })`. A page carries the services that it names, and no others. */
    service(service) {
        const methods = service.methods.map((method) => [method.localName, this.#method(method)]);
        return Object.fromEntries(methods);
    }
    #method(method) {
        const caller = this.#caller;
        if (method.methodKind === "server_streaming") {
            const streaming = method;
            return (request, options) => follow(caller, streaming, request, options);
        }
        const unary = method;
        const once = (request, options) => call(caller, unary, request, options);
        const listed = listedField(method);
        if (!listed)
            return once;
        return (request, options) => new Pages(method.output, listed, (pageToken) => once(pageToken === undefined ? request : { ...request, pageToken }, options));
    }
}
