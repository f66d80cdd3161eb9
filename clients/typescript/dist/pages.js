import { read } from "./requests.js";
/**
 * `for await (const item of list)`: all of them, one page in memory at a time, asked for when the one before is used up.
 * `await list`: the first page as the API answers it. `list.byPage()`: such answers, one after another.
 */
export class Pages {
    #output;
    #listed;
    #ask;
    /** `ask` is called with undefined for the page that the request itself names. */
    constructor(output, listed, ask) {
        this.#output = output;
        this.#listed = listed;
        this.#ask = ask;
    }
    then(done, failed) {
        return this.#ask(undefined).then(done, failed);
    }
    async *byPage() {
        const next = this.#output.field["nextPageToken"];
        for (let token;;) {
            const page = await this.#ask(token);
            yield page;
            token = read(page, next);
            if (!token)
                return;
        }
    }
    async *[Symbol.asyncIterator]() {
        for await (const page of this.byPage())
            yield* read(page, this.#listed);
    }
}
/** What a method lists; undefined: it is no list, or one of several kinds of things. */
export function listedField(method) {
    if (!("pageToken" in method.input.field && "nextPageToken" in method.output.field))
        return undefined;
    const [only, ...others] = method.output.fields.filter((field) => field.fieldKind === "list");
    return others.length === 0 ? only : undefined;
}
