"""The visits of booked courses, played under a clock that jumps from one instant that matters to the next."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from atoll.billing.v1.account_service_pb2 import GetCourseAccountRequest
from atoll.billing.v1.account_service_pb2_grpc import AccountServiceStub
from atoll.billing.v1.invoice_service_pb2 import IssueInvoiceRequest
from atoll.billing.v1.invoice_service_pb2_grpc import InvoiceServiceStub
from atoll.billing.v1.payment_service_pb2 import TENDER_CASH, RecordPaymentRequest
from atoll.billing.v1.payment_service_pb2_grpc import PaymentServiceStub
from atoll.notifications.v1.message_pb2 import MessageStatus
from atoll.notifications.v1.message_service_pb2 import CountMessagesRequest
from atoll.notifications.v1.message_service_pb2_grpc import MessageServiceStub
from atoll.patients.v1.measure_service_pb2 import RecordMeasureRequest, VitalSigns
from atoll.patients.v1.measure_service_pb2_grpc import MeasureServiceStub
from atoll.scheduling.v1 import visit_service_pb2 as visits_pb
from atoll.scheduling.v1.events_pb2 import CANCELLATION_REASON_PATIENT
from atoll.scheduling.v1.gate_service_pb2 import ListGatesRequest, ListGatesResponse, RecordGateRequest
from atoll.scheduling.v1.gate_service_pb2_grpc import GateServiceStub
from atoll.scheduling.v1.protocol_pb2 import Gate, GateKind, GateStage, ProtocolTemplate, SegmentKind, VisitType
from atoll.scheduling.v1.visit_pb2 import Visit
from atoll.scheduling.v1.visit_service_pb2_grpc import VisitServiceStub
from chassis.clock import set_clock
from chassis.times import to_instant, to_timestamp
from cli.client import Client
from cli.demo.queues import DRAINED_S, Queues
from cli.sample.courses import Booked, Staff

EARLY = timedelta(minutes=5)  # Patients arrive so long before their visit.
CANCELLED_AHEAD = timedelta(days=3)
# Messages due within so long of each other go out at one stop of the clock: less than any of them is good for.
TOGETHER = timedelta(minutes=40)
SETTLED_S = 300.0  # A sender that was killed leaves messages leased for a while.
POLL_S = 0.05
CALM = VitalSigns(systolic_mm_hg=118, diastolic_mm_hg=76, heart_rate_per_minute=68, oxygen_saturation_percent=98)
KNOWN_OTHERWISE = frozenset(
    {GateKind.GATE_KIND_CONSENT, GateKind.GATE_KIND_DEPOSIT_PAID, GateKind.GATE_KIND_OBSERVATION_SERVED}
)
PENDING = frozenset({MessageStatus.MESSAGE_STATUS_SCHEDULED, MessageStatus.MESSAGE_STATUS_SENDING})


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that somebody does at an instant."""

    at: datetime
    caller: Client
    method: str
    request: Any
    service: Any = VisitServiceStub
    suffices: Callable[[Any], bool] = lambda _: True
    """Whether somebody goes on with this answer. If not they look again: what an event tells is known moments later."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A course that is billed and paid: its account by then, and the tax of its invoice."""

    account: Any
    tax: Any  # google.type.Money.


class Life:
    """Moves the clock. Nothing happens at an instant before all that was due earlier is done."""

    def __init__(self, clock: Path, now: datetime, queues: Queues, watcher: Client) -> None:
        self._clock, self._now, self._queues, self._watcher = clock, now, queues, watcher

    async def play(self, steps: Sequence[Step], on_step: Callable[[datetime], None]) -> None:
        due = await self._next_due()
        for step in sorted(steps, key=lambda step: step.at):
            while due and due <= step.at:
                self._jump(min(due + TOGETHER, step.at))
                await self.messages_out()
                due = await self._next_due()
            self._jump(step.at)
            await _done(step)
            on_step(step.at)
        await self._queues.drained()

    async def messages_out(self) -> None:
        """Until every event has arrived and nothing that is due waits to be sent."""
        until = time.monotonic() + SETTLED_S
        while True:
            await self._queues.drained()
            if not await self._due_now():
                return
            if time.monotonic() > until:
                raise TimeoutError(f"messages that are due were not settled within {SETTLED_S:.0f} s")
            await asyncio.sleep(POLL_S)

    def let_go(self) -> None:
        """From now on the clock goes as fast as time does."""
        set_clock(self._clock, self._now, rate=1.0)

    def _jump(self, instant: datetime) -> None:
        if instant > self._now:
            self._now = instant
            set_clock(self._clock, instant)

    async def _next_due(self) -> datetime | None:
        counts = await self._watcher.call(MessageServiceStub, "CountMessages", CountMessagesRequest())
        return to_instant(counts.next_due_time) if counts.HasField("next_due_time") else None

    async def _due_now(self) -> int:
        request = CountMessagesRequest(due_by_time=to_timestamp(self._now))
        counts = await self._watcher.call(MessageServiceStub, "CountMessages", request)
        return sum(count.messages for count in counts.counts if count.status in PENDING)


async def _done(step: Step) -> None:
    until = time.monotonic() + DRAINED_S
    while not step.suffices(await step.caller.call(step.service, step.method, step.request)):
        if time.monotonic() > until:
            raise TimeoutError(f"what {step.method} was to show was not known within {DRAINED_S:.0f} s")
        await asyncio.sleep(POLL_S)


def steps_of(booked: Booked, template: ProtocolTemplate, staff: Staff, *, cancels_last: bool) -> Iterator[Step]:
    """Every visit confirmed, held and completed as planned; but the last one may be called off."""
    types = {each.code: each for each in template.visit_types}
    last = booked.course.visits[-1]
    for visit in booked.course.visits:
        if cancels_last and visit is last:
            request = visits_pb.CancelVisitRequest(visit_id=visit.id, reason=CANCELLATION_REASON_PATIENT)
            yield Step(to_instant(visit.start_time) - CANCELLED_AHEAD, staff.desk, "CancelVisit", request)
        else:
            gates = [each for each in template.gates if visit.visit_type_code in each.visit_type_codes]
            yield from _visit_steps(visit, types[visit.visit_type_code], gates, staff)


def _visit_steps(visit: Visit, visit_type: VisitType, gates: Sequence[Gate], staff: Staff) -> Iterator[Step]:
    visit_id, start = visit.id, to_instant(visit.start_time)
    yield Step(
        start - timedelta(hours=20), staff.desk, "ConfirmVisit", visits_pb.ConfirmVisitRequest(visit_id=visit_id)
    )
    yield from _gate_steps(visit, start - EARLY, gates, GateStage.GATE_STAGE_CHECK_IN, staff.desk)
    yield Step(start - EARLY, staff.desk, "CheckInVisit", visits_pb.CheckInVisitRequest(visit_id=visit_id))
    at, doses = start, False
    for segment in visit_type.segments:
        if segment.kind == SegmentKind.SEGMENT_KIND_ADMINISTRATION:
            doses = True
            yield Step(at, staff.nurse, "StartTreatment", visits_pb.StartTreatmentRequest(visit_id=visit_id))
        if segment.kind == SegmentKind.SEGMENT_KIND_OBSERVATION:
            yield Step(at, staff.nurse, "StartObservation", visits_pb.StartObservationRequest(visit_id=visit_id))
        if segment.kind != SegmentKind.SEGMENT_KIND_TURNOVER:
            at += timedelta(minutes=segment.minutes)
    who = staff.nurse if doses else staff.clinician
    yield from _gate_steps(visit, at, gates, GateStage.GATE_STAGE_DISCHARGE, who)
    yield Step(at, who, "CompleteVisit", visits_pb.CompleteVisitRequest(visit_id=visit_id))


def _gate_steps(
    visit: Visit, at: datetime, gates: Sequence[Gate], stage: GateStage.ValueType, who: Client
) -> Iterator[Step]:
    """Somebody sees that each gate is passed, but for those that the system knows itself; vitals are taken."""
    for gate in gates:
        if gate.stage != stage or gate.kind in KNOWN_OTHERWISE:
            continue
        if gate.kind == GateKind.GATE_KIND_VITALS:
            yield from _vitals_steps(visit, at, gate, who)
        else:
            request = RecordGateRequest(visit_id=visit.id, kind=gate.kind, passed=True)
            yield Step(at, who, "RecordGate", request, GateServiceStub)


def _vitals_steps(visit: Visit, at: datetime, gate: Gate, who: Client) -> Iterator[Step]:
    """They are recorded with patients, and scheduling hears of them."""

    def is_passed(answer: ListGatesResponse) -> bool:
        return any(each.passed for each in answer.gates if (each.kind, each.stage) == (gate.kind, gate.stage))

    measure = RecordMeasureRequest(
        patient_id=visit.patient_id,
        site_id=visit.site_id,
        course_id=visit.course_id,
        visit_id=visit.id,
        vital_signs=CALM,
    )
    yield Step(at, who, "RecordMeasure", measure, MeasureServiceStub)
    yield Step(at, who, "ListGates", ListGatesRequest(visit_id=visit.id), GateServiceStub, is_passed)


async def settle(booked: Booked, staff: Staff) -> Settled:
    """The course is invoiced, and what the deposit left open is paid."""
    issued = await staff.billing.call(
        InvoiceServiceStub, "IssueInvoice", IssueInvoiceRequest(course_id=booked.course.id)
    )
    if issued.invoice.balance.units or issued.invoice.balance.nanos:
        await staff.desk.call(
            PaymentServiceStub,
            "RecordPayment",
            RecordPaymentRequest(
                site_id=booked.site.id,
                patient_id=booked.patient_id,
                invoice_id=issued.invoice.id,
                amount=issued.invoice.balance,
                tender=TENDER_CASH,
            ),
        )
    account = await staff.billing.call(
        AccountServiceStub, "GetCourseAccount", GetCourseAccountRequest(course_id=booked.course.id)
    )
    return Settled(account.course_account, issued.invoice.tax)
