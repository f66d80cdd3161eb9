"""What happens to each RPC around its handler, in order, in one place.

Deadline → peer → token → role → parse → field rules → site and patient → handler → what a patient is not told → status
→ log line. An endpoint is made once per RPC when a service starts; as interceptors these steps would be built anew in
each call and could not see malformed bytes.
"""

from __future__ import annotations  # grpc's context is generic in its stubs only

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, NoReturn

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc_status import rpc_status

from atoll.common.v1.access_pb2 import access
from chassis.auth import AccessDenied, Caller, TokenExpired, Tokens
from chassis.call import Call, Sites
from chassis.clock import Clock
from chassis.errors import BadRequest, DomainError, NoInstant, NulInText, Overloaded, TooLate
from chassis.fields import check_fields, no_instants, with_nul
from chassis.hidden import for_patient
from chassis.ids import from_wire, ids_of
from chassis.metrics import RPC_SECONDS
from chassis.status import CODES, status_of
from chassis.tls import Tls
from chassis.tracing import trace_id, traceparent_of

log = structlog.get_logger()

DEADLINE_MAX_S = 30.0  # For a caller who sets none, or a longer one.
ANSWER_S = 0.02  # Kept back to be able to answer.
WORK_MIN_S = 0.05  # With less left than this, work is refused.
STREAM_AGE_MAX_S = 3600.0  # Then the stream ends with OK, and the reader opens it again from its resume token.
STREAM_WRITE_S = 10.0  # A reader that takes nothing for so long is dropped,
REFUSAL_S = 1.0  # and told why if it takes that.

Handler = Callable[[Any, Call], Awaitable[Message]]
StreamHandler = Callable[[Any, Call], AsyncGenerator[Message, None]]
Context = grpc.aio.ServicerContext[bytes, Message]


class Endpoint:
    """One RPC that answers once."""

    def __init__(
        self, method: MethodDescriptor, handler: Any, tokens: Tokens, clock: Clock, tls: Tls | None = None
    ) -> None:
        self._access = method.GetOptions().Extensions[access]
        if not (self._access.roles and self._access.scope and self._access.audit):
            raise RuntimeError(f"{method.full_name} lacks (atoll.common.v1.access)")
        self._name, self._request_type = method.full_name, GetMessageClass(method.input_type)
        self._changes = "request_id" in method.input_type.fields_by_name
        self._handler, self._tokens, self._clock, self._tls = handler, tokens, clock, tls

    async def __call__(self, raw: bytes, context: Context) -> Message | None:
        started, ids = time.perf_counter(), dict[str, str]()
        code = grpc.StatusCode.OK
        try:
            return await self._answer(raw, context, ids)
        except asyncio.CancelledError:  # The caller went away, or the server's grace is over.
            code = grpc.StatusCode.CANCELLED
            raise
        except TimeoutError:
            code = grpc.StatusCode.DEADLINE_EXCEEDED
            await self._refuse(TooLate(), context, ids)
        except DomainError as error:
            code = CODES[error.kind]
            await self._refuse(error, context, ids)
        except Exception:
            code = grpc.StatusCode.INTERNAL
            log.exception("rpc.bug", method=self._name, **ids)
            await context.abort(code, "internal error")
        finally:
            seconds = time.perf_counter() - started
            RPC_SECONDS.labels(self._name, code.name).observe(seconds)
            if code is grpc.StatusCode.OK:
                log.info("rpc.done", method=self._name, ms=round(seconds * 1e3, 1), **ids)

    async def _answer(self, raw: bytes, context: Context, ids: dict[str, str]) -> Message | None:
        async with asyncio.timeout(_work_seconds(context)):
            request, call, _ = await self._open(raw, context, ids)
            answer = await self._handled(request, call)
            return answer if call.patient_id is None else for_patient(answer)

    async def _handled(self, request: Message, call: Call) -> Message:
        try:
            answer: Message = await self._handler(request, call)
        except NulInText:
            raise BadRequest(*with_nul(request)) from None
        except NoInstant:
            raise BadRequest(*no_instants(request)) from None
        return answer

    async def _open(self, raw: bytes, context: Context, ids: dict[str, str]) -> tuple[Message, Call, Caller]:
        if self._tls:
            self._tls.check(context.auth_context())
        metadata = dict(context.invocation_metadata() or ())
        caller = await self._tokens.caller(str(metadata.get("authorization", "")))
        sites, patient_id = caller.permitted(self._access)
        request = self._parse(raw)
        check_fields(request)
        ids.update(ids_of(request))  # Not before: what stands in a field that breaks its rule may be anything.
        _check_site(request, sites)
        _check_patient(request, patient_id)
        traceparent = traceparent_of(str(metadata.get("traceparent", "")))
        ids["trace"] = trace_id(traceparent)
        call = Call(
            chain_id=caller.chain_id or from_wire("chain", str(metadata.get("atoll-chain", ""))),
            sites=sites,
            actor=caller.id,
            method=self._name,
            cause=getattr(request, "request_id", "") if self._changes else "",
            audit=self._access.audit,
            now=self._clock(),
            traceparent=traceparent,
            patient_id=patient_id,
            roles=caller.roles(self._access),
        )
        return request, call, caller

    def _parse(self, raw: bytes) -> Message:
        try:
            return self._request_type.FromString(raw)
        except DecodeError:
            raise BadRequest() from None

    async def _refuse(self, error: DomainError, context: Context, ids: dict[str, str]) -> NoReturn:
        """The status waits behind messages that are not taken: then the stream is cut off without one."""
        log.info("rpc.refused", method=self._name, reason=error.reason, **ids)
        with suppress(TimeoutError):
            async with asyncio.timeout(REFUSAL_S):
                await context.abort_with_status(rpc_status.to_status(status_of(error)))
        raise asyncio.CancelledError


class StreamEndpoint(Endpoint):
    """One RPC that answers with a stream. Its handler audits once, when it opens."""

    async def _answer(self, raw: bytes, context: Context, ids: dict[str, str]) -> None:
        async with asyncio.timeout(_work_seconds(context)):
            request, call, caller = await self._open(raw, context, ids)
        left: float | None = context.time_remaining()
        age_left = STREAM_AGE_MAX_S if left is None else min(STREAM_AGE_MAX_S, left - ANSWER_S)
        token_left = caller.expires - time.time()
        bound = asyncio.timeout(min(age_left, token_left))
        try:
            async with bound, aclosing(self._handler(request, call)) as messages:
                async for message in messages:
                    await _write(context, message if call.patient_id is None else for_patient(message))
        except TimeoutError:
            if not bound.expired():
                raise
            if token_left <= age_left:
                raise TokenExpired() from None


async def _write(context: Context, message: Message) -> None:
    patience = asyncio.timeout(STREAM_WRITE_S)
    try:
        async with patience:
            await context.write(message)
    except TimeoutError:
        if patience.expired():
            raise Overloaded() from None
        raise


def _work_seconds(context: Context) -> float:
    left: float | None = context.time_remaining()
    if left is not None and left < WORK_MIN_S:
        raise TooLate()
    return min(left or DEADLINE_MAX_S, DEADLINE_MAX_S) - ANSWER_S


def _check_site(request: Message, sites: Sites) -> None:
    """Before anything is looked up. Rows of other sites that a request reaches by other ids, the database hides."""
    site_id = getattr(request, "site_id", "") if sites is not None else ""
    if sites is not None and site_id and from_wire("site", site_id) not in sites:
        raise AccessDenied()


def _check_patient(request: Message, patient_id: Any) -> None:
    named = getattr(request, "patient_id", "") if patient_id is not None else ""
    if named and from_wire("patient", named) != patient_id:
        raise AccessDenied()
