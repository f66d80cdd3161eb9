/** Lists, of which the API answers a page at a time: the request has a page_token, the response the next. */
import type { DescField, DescMessage } from "@bufbuild/protobuf";

import { read } from "./requests.ts";

/**
 * `for await (const item of list)`: all of them, one page in memory at a time, asked for when the one before is used up.
 * `await list`: the first page as the API answers it. `list.byPage()`: such answers, one after another.
 */
export class Pages<Page extends object, Each> implements AsyncIterable<Each>, PromiseLike<Page> {
  readonly #output: DescMessage;
  readonly #listed: DescField;
  readonly #ask: (pageToken: string | undefined) => Promise<Page>;

  /** `ask` is called with undefined for the page that the request itself names. */
  constructor(output: DescMessage, listed: DescField, ask: (pageToken: string | undefined) => Promise<Page>) {
    this.#output = output;
    this.#listed = listed;
    this.#ask = ask;
  }

  then<Done = Page, Failed = never>(
    done?: ((page: Page) => Done | PromiseLike<Done>) | null,
    failed?: ((reason: unknown) => Failed | PromiseLike<Failed>) | null,
  ): Promise<Done | Failed> {
    return this.#ask(undefined).then(done, failed);
  }

  async *byPage(): AsyncGenerator<Page> {
    const next = this.#output.field["nextPageToken"]!;
    for (let token: string | undefined; ; ) {
      const page = await this.#ask(token);
      yield page;
      token = read(page, next) as string;
      if (!token) return;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Each> {
    for await (const page of this.byPage()) yield* read(page, this.#listed) as Each[];
  }
}

/** What a method lists; undefined: it is no list, or one of several kinds of things. */
export function listedField(method: { input: DescMessage; output: DescMessage }): DescField | undefined {
  if (!("pageToken" in method.input.field && "nextPageToken" in method.output.field)) return undefined;
  const [only, ...others] = method.output.fields.filter((field) => field.fieldKind === "list");
  return others.length === 0 ? only : undefined;
}
