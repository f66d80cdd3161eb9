/** Plain objects as requests: names that the message lacks are refused, and a request_id is made where one is due. */
import { type DescField, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
export declare function requestOf<D extends DescMessage>(schema: D, given: MessageInitShape<D>): MessageShape<D>;
/** Empty where a read has none. */
export declare function requestIdOf(schema: DescMessage, request: object): string;
export declare function read(message: object, field: {
    localName: string;
}): unknown;
export declare function write(message: object, field: DescField, value: unknown): void;
