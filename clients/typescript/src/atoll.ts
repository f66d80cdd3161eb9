/** The client: where Atoll is, who calls, and the services that it has. */
import type { DescMessage, DescMethodServerStreaming, DescMethodUnary, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { call, type Caller, type CallOptions } from "./calls.ts";
import { listedField, Pages } from "./pages.ts";
import { follow, type StreamOptions } from "./streams.ts";
import type { TokenSource } from "./tokens.ts";

const TIMEOUT_MS = 20_000;
const ATTEMPTS = 6;

export interface AtollOptions {
  /** "https://api.example.com": the one public endpoint. */
  url: string;
  token?: TokenSource;
  /** Of a call, retries included, unless it is given one of its own. */
  timeoutMs?: number;
  /** How often a call is sent at most while the answer is UNAVAILABLE. 1: nothing is sent again. */
  attempts?: number;
  /** Instead of gRPC-Web by fetch. */
  transport?: Transport;
}

export type Unary<I extends DescMessage, O extends DescMessage> = (
  request: MessageInitShape<I>,
  options?: CallOptions,
) => Promise<MessageShape<O>>;

export type List<I extends DescMessage, O extends DescMessage> = (
  request: MessageInitShape<I>,
  options?: CallOptions,
) => Pages<MessageShape<O>, Item<MessageShape<O>>>;

export type Stream<I extends DescMessage, O extends DescMessage> = (
  request: MessageInitShape<I>,
  options?: StreamOptions,
) => AsyncGenerator<MessageShape<O>>;

/** The repeated fields of a response. */
type Repeated<O> = { [K in keyof O]-?: O[K] extends unknown[] ? K : never }[keyof O];
type IsOne<K, All = K> = [K] extends [never] ? false : K extends unknown ? ([All] extends [K] ? true : false) : never;

/** What a list's response lists. */
export type Item<O> = O[Repeated<O>] extends (infer Each)[] ? Each : never;

type IsList<O> = O extends { nextPageToken: string } ? IsOne<Repeated<O>> : false;

export type ServiceClient<S extends DescService> = {
  [K in keyof S["method"]]: S["method"][K] extends { methodKind: infer Kind; input: infer I extends DescMessage; output: infer O extends DescMessage }
    ? Kind extends "server_streaming"
      ? Stream<I, O>
      : IsList<MessageShape<O>> extends true
        ? List<I, O>
        : Unary<I, O>
    : never;
};

export class Atoll {
  readonly #caller: Caller;

  constructor(options: AtollOptions) {
    this.#caller = {
      transport: options.transport ?? createGrpcWebTransport({ baseUrl: options.url, useBinaryFormat: true }),
      token: options.token,
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      attempts: options.attempts ?? ATTEMPTS,
    };
  }

  /** `atoll.service(CourseService).planCourse({ … })`. A page carries the services that it names, and no others. */
  service<S extends DescService>(service: S): ServiceClient<S> {
    const methods = service.methods.map((method) => [method.localName, this.#method(method)]);
    return Object.fromEntries(methods) as ServiceClient<S>;
  }

  #method(method: DescService["methods"][number]): unknown {
    const caller = this.#caller;
    type Given = MessageInitShape<DescMessage>;
    if (method.methodKind === "server_streaming") {
      const streaming = method as DescMethodServerStreaming;
      return (request: Given, options?: StreamOptions) => follow(caller, streaming, request, options);
    }
    const unary = method as DescMethodUnary;
    const once = (request: Given, options?: CallOptions) => call(caller, unary, request, options);
    const listed = listedField(method);
    if (!listed) return once;
    return (request: Given, options?: CallOptions) =>
      new Pages(method.output, listed, (pageToken) => once(pageToken === undefined ? request : { ...request, pageToken }, options));
  }
}
