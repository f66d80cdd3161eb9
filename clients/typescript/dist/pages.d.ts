/** Lists, of which the API answers a page at a time: the request has a page_token, the response the next. */
import type { DescField, DescMessage } from "@bufbuild/protobuf";
/**
 * `for await (const item of list)`: all of them, one page in memory at a time, asked for when the one before is used up.
 * `await list`: the first page as the API answers it. `list.byPage()`: such answers, one after another.
 */
export declare class Pages<Page extends object, Each> implements AsyncIterable<Each>, PromiseLike<Page> {
    #private;
    /** `ask` is called with undefined for the page that the request itself names. */
    constructor(output: DescMessage, listed: DescField, ask: (pageToken: string | undefined) => Promise<Page>);
    then<Done = Page, Failed = never>(done?: ((page: Page) => Done | PromiseLike<Done>) | null, failed?: ((reason: unknown) => Failed | PromiseLike<Failed>) | null): Promise<Done | Failed>;
    byPage(): AsyncGenerator<Page>;
    [Symbol.asyncIterator](): AsyncGenerator<Each>;
}
/** What a method lists; undefined: it is no list, or one of several kinds of things. */
export declare function listedField(method: {
    input: DescMessage;
    output: DescMessage;
}): DescField | undefined;
