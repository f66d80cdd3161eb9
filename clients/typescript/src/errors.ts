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
import { BadRequestSchema, ErrorInfoSchema, PreconditionFailureSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.js";

/** Every reason that there was when this client was built: "HOLD_OVER". */
export type Reason =
  | Exclude<
      | keyof typeof BillingReason
      | keyof typeof CommonReason
      | keyof typeof NotificationsReason
      | keyof typeof PatientsReason
      | keyof typeof SchedulingReason,
      "UNSPECIFIED"
    >
  | "UNREACHABLE";

/** One part of a request at fault, or one thing in the present state that stands against it. */
export interface Violation {
  /** Its path in the request: "visits[2].start_time". */
  field: string;
  /** Which rule it breaks. Frozen, like a reason. */
  rule: string;
  description: string;
}

export class AtollError extends Error {
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
  readonly #origin: ConnectError;

  constructor(origin: ConnectError, method = "", requestId = "") {
    const info = origin.findDetails(ErrorInfoSchema)[0];
    const reason = (info?.reason ?? (isUnreachable(origin) ? "UNREACHABLE" : "")) as Reason | "";
    super(`${method}: ${Code[origin.code]} ${reason}: ${origin.rawMessage}`, { cause: origin });
    this.name = new.target.name;
    this.code = isUnreachable(origin) ? Code.Unavailable : origin.code;
    this.method = method;
    this.reason = reason;
    this.metadata = info?.metadata ?? {};
    this.violations = violationsOf(origin);
    this.retryAfterMs = retryAfter(origin);
    this.requestId = requestId;
    this.#origin = origin;
  }

  /** A detail that some refusals bring along, as VISITS_CONFLICT brings a VisitsConflictDetail. */
  detail<D extends DescMessage>(schema: D): MessageShape<D> | undefined {
    return this.#origin.findDetails(schema)[0];
  }
}

/** This request can never succeed: `violations` names each field at fault. */
export class InvalidArgument extends AtollError {}
/** No token, or one that does not pass. */
export class Unauthenticated extends AtollError {}
/** No role of the caller may do this, or not at this site, or not for this patient. */
export class Denied extends AtollError {}
/** There is no such thing for this caller. */
export class NotFound extends AtollError {}
/** A rule forbids it in the present state: `violations` names what stands against it. */
export class Conflict extends AtollError {}
/** Something that it rests on has not arrived yet: the same request may pass after `retryAfterMs`. */
export class NotYet extends Conflict {}
/** Somebody else wrote first: read again, decide again. */
export class Stale extends AtollError {}
/** Where the caller wants to go on from is not kept any more: read the whole again. */
export class OutOfRange extends AtollError {}
/** A bound is reached. */
export class Exhausted extends AtollError {}
/** The deadline passed. Whether a change was made is unknown: ask again with the same `requestId`. */
export class TooLate extends AtollError {}
/** The service could not be reached or could not finish, also after retries: ask again with the same `requestId`. */
export class TryAgain extends AtollError {}
/** The caller gave up, by the signal. */
export class Cancelled extends AtollError {}
/** A fault of the server's own, or of something on the way to it. */
export class ServerFault extends AtollError {}

const CLASSES = new Map<Code, typeof AtollError>([
  [Code.InvalidArgument, InvalidArgument],
  [Code.Unauthenticated, Unauthenticated],
  [Code.PermissionDenied, Denied],
  [Code.NotFound, NotFound],
  [Code.FailedPrecondition, Conflict],
  [Code.Aborted, Stale],
  [Code.OutOfRange, OutOfRange],
  [Code.ResourceExhausted, Exhausted],
  [Code.DeadlineExceeded, TooLate],
  [Code.Unavailable, TryAgain],
  [Code.Canceled, Cancelled],
]);

export function errorOf(thrown: unknown, method: DescMethod, requestId = ""): AtollError {
  if (thrown instanceof AtollError) return thrown;
  const origin = ConnectError.from(thrown);
  return new (classOf(origin))(origin, nameOf(method), requestId);
}

export function nameOf(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

function classOf(origin: ConnectError): typeof AtollError {
  if (isUnreachable(origin)) return TryAgain;
  const found = CLASSES.get(origin.code) ?? ServerFault;
  return found === Conflict && retryAfter(origin) !== undefined ? NotYet : found;
}

/** `fetch` throws a TypeError, and nothing else, when there is no connection or it breaks. */
function isUnreachable(origin: ConnectError): boolean {
  return origin.cause instanceof TypeError && origin.code !== Code.Canceled && origin.code !== Code.DeadlineExceeded;
}

function violationsOf(origin: ConnectError): Violation[] {
  const fields = origin.findDetails(BadRequestSchema).flatMap((each) => each.fieldViolations);
  const others = origin.findDetails(PreconditionFailureSchema).flatMap((each) => each.violations);
  return [
    ...fields.map(({ field, reason, description }) => ({ field, rule: reason, description })),
    ...others.map(({ subject, type, description }) => ({ field: subject, rule: type, description })),
  ];
}

function retryAfter(origin: ConnectError): number | undefined {
  const delay = origin.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6;
}
