/**
 * What the API refuses, as errors: one class for each kind, with all that the answer told.
 *
 * A message is for developers: it names ids, limits and rules only, never what was sent.
 */
import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { ErrorReason as BillingReason } from "../gen/atoll/billing/v1/error_reason_pb.js";
import type { ErrorReason as CommonReason } from "../gen/atoll/common/v1/error_reason_pb.js";
import type { ErrorReason as NotificationsReason } from "../gen/atoll/notifications/v1/error_reason_pb.js";
import type { ErrorReason as PatientsReason } from "../gen/atoll/patients/v1/error_reason_pb.js";
import type { ErrorReason as SchedulingReason } from "../gen/atoll/scheduling/v1/error_reason_pb.js";
/** Every reason that there was when this client was built: "HOLD_OVER". */
export type Reason = Exclude<keyof typeof BillingReason | keyof typeof CommonReason | keyof typeof NotificationsReason | keyof typeof PatientsReason | keyof typeof SchedulingReason, "UNSPECIFIED"> | "UNREACHABLE";
/** One part of a request at fault, or one thing in the present state that stands against it. */
export interface Violation {
    /** Its path in the request: "visits[2].start_time". */
    field: string;
    /** Which rule it breaks. Frozen, like a reason. */
    rule: string;
    description: string;
}
export declare class AtollError extends Error {
    #private;
    readonly code: Code;
    /** "atoll.scheduling.v1.CourseService/BookCourse" */
    readonly method: string;
    /**
     * A frozen word to decide by. UNREACHABLE: there was no connection, or it broke. Empty: something between here and the
     * service answered.
     */
    readonly reason: Reason | "";
    /** Ids, limits and times that belong to the reason. */
    readonly metadata: Readonly<Record<string, string>>;
    readonly violations: readonly Violation[];
    /** The same request may pass after it. Undefined: the service did not say so. */
    readonly retryAfterMs: number | undefined;
    /** Of the change that was asked for; empty of a read. With it the same request can be sent again safely. */
    readonly requestId: string;
    constructor(origin: ConnectError, method?: string, requestId?: string);
    /** A detail that some refusals bring along, as VISITS_CONFLICT brings a VisitsConflictDetail. */
    detail<D extends DescMessage>(schema: D): MessageShape<D> | undefined;
}
/** This request can never succeed: `violations` names each field at fault. */
export declare class InvalidArgument extends AtollError {
}
/** No token, or one that does not pass. */
export declare class Unauthenticated extends AtollError {
}
/** No role of the caller may do this, or not at this site, or not for this patient. */
export declare class Denied extends AtollError {
}
/** There is no such thing for this caller. */
export declare class NotFound extends AtollError {
}
/** A rule forbids it in the present state: `violations` names what stands against it. */
export declare class Conflict extends AtollError {
}
/** Something that it rests on has not arrived yet: the same request may pass after `retryAfterMs`. */
export declare class NotYet extends Conflict {
}
/** Somebody else wrote first: read again, decide again. */
export declare class Stale extends AtollError {
}
/** Where the caller wants to go on from is not kept any more: read the whole again. */
export declare class OutOfRange extends AtollError {
}
/** A bound is reached. */
export declare class Exhausted extends AtollError {
}
/** The deadline passed. Whether a change was made is unknown: ask again with the same `requestId`. */
export declare class TooLate extends AtollError {
}
/** The service could not be reached or could not finish, also after retries: ask again with the same `requestId`. */
export declare class TryAgain extends AtollError {
}
/** The caller gave up, by the signal. */
export declare class Cancelled extends AtollError {
}
/** A fault of the server's own, or of something on the way to it. */
export declare class ServerFault extends AtollError {
}
export declare function errorOf(thrown: unknown, method: DescMethod, requestId?: string): AtollError;
