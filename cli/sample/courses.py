"""What happens to a patient of the sample before the first visit: screening, clearance, estimate, booking, deposit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Any

import grpc
from google.type.timeofday_pb2 import TimeOfDay

from atoll.billing.v1.estimate_service_pb2 import CreateEstimateRequest
from atoll.billing.v1.estimate_service_pb2_grpc import EstimateServiceStub
from atoll.billing.v1.payment_service_pb2 import TENDER_CASH, TENDER_EXTERNAL_CARD, RecordPaymentRequest
from atoll.billing.v1.payment_service_pb2_grpc import PaymentServiceStub
from atoll.patients.v1.clearance_service_pb2 import ClearanceCondition, GrantClearanceRequest
from atoll.patients.v1.clearance_service_pb2_grpc import ClearanceServiceStub
from atoll.patients.v1.questionnaire_pb2 import SCREENING_OUTCOME_ELIGIBLE
from atoll.patients.v1.screening_service_pb2 import Answer, RecordScreeningRequest, Screening
from atoll.patients.v1.screening_service_pb2_grpc import ScreeningServiceStub
from atoll.scheduling.v1.course_service_pb2 import BookCourseRequest, PlanCourseRequest
from atoll.scheduling.v1.course_service_pb2_grpc import CourseServiceStub
from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate, SegmentKind, VisitType
from chassis.times import to_date
from cli.client import Client, Refused
from cli.sample.chain import SampleChain, SampleProtocol, SampleSite
from deploy.local.issuer import Issuer

NOTICE = timedelta(days=14)  # First visits are so far ahead: an estimate is due within three business days.
WINDOW = timedelta(days=28)
CLEARED_FOR = timedelta(days=365)
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "failed_antidepressants": {"int_value": 2},
    "other_treatments": {"bool_value": True},
    "severe_depression": {"bool_value": True},
    "psychosis_history": {"bool_value": False},
    "psychosis_in_family": {"bool_value": False},
    "systolic": {"int_value": 124},
    "diastolic": {"int_value": 79},
    "pregnancy": {"option_code": "no"},
    "substance_use": {"option_code": "never"},
    "takes_medication": {"bool_value": False},
    "ride_home": {"bool_value": True},
}
"""To the questions that are shown after these answers."""
HIGH_PRESSURE = {"systolic": {"int_value": 164}}
REVIEWED_TURN = 1  # Each site's second patient has such a blood pressure, and is looked at by a clinician.
TAKEN = frozenset({"VISITS_CONFLICT", "OUTSIDE_HOURS"})
PLANS_MAX = 8  # Others book at the same time: a plan may be gone when it is booked.


@dataclass(frozen=True, slots=True)
class Staff:
    """Callers with the roles of one site's staff, for that site only."""

    desk: Client
    nurse: Client
    clinician: Client
    billing: Client

    @classmethod
    def of(cls, channel: grpc.aio.Channel, issuer: Issuer, chain_id: str, site: SampleSite) -> "Staff":
        def caller(role: str) -> Client:
            subject = f"{site.code}-{role.lower().replace('_', '-')}"
            return Client.issued(channel, issuer, subject, chain_id, {f"ROLE_{role}": [site.id]})

        return cls(*(caller(role) for role in ("FRONT_DESK", "NURSE", "CLINICIAN", "BILLING")))


@dataclass(frozen=True, slots=True)
class Booked:
    patient_id: str
    site: SampleSite
    protocol: SampleProtocol
    estimated: Any  # google.type.Money, as told before booking.
    course: Any  # scheduling's Course.


async def book(staff: Staff, chain: SampleChain, site: SampleSite, patient_id: str, turn: int, today: date) -> Booked:
    """`turn` chooses one of the site's kinds of course, and the tender of the deposit."""
    wish = site.courses[turn % len(site.courses)]
    protocol = chain.protocols[wish["protocol"]]
    template = protocol.template
    screening = await _screen(staff, site, protocol, patient_id, turn)
    await _clear(staff, site, protocol, wish["route"], screening, today)
    for attempt in range(PLANS_MAX):
        planned = await staff.desk.call(
            CourseServiceStub, "PlanCourse", _plan_request(site, protocol, template, wish, patient_id, today, attempt)
        )
        visits = planned.plans[0].visits
        estimate = await staff.billing.call(
            EstimateServiceStub, "CreateEstimate", _estimate_request(site, template, wish["route"], patient_id, visits)
        )
        request = BookCourseRequest(
            site_id=site.id,
            patient_id=patient_id,
            protocol_version_id=protocol.version_id,
            route_code=wish["route"],
            visits=[
                BookCourseRequest.VisitChoice(
                    phase_code=visit.phase_code, start_time=visit.start_time, resources=visit.resources
                )
                for visit in visits
            ],
        )
        try:
            booked = await staff.desk.call(CourseServiceStub, "BookCourse", request)
        except Refused as refused:
            if refused.reason not in TAKEN or attempt == PLANS_MAX - 1:
                raise
        else:
            break
    await _pay_deposit(staff, site, patient_id, booked.course.id, estimate.estimate, turn)
    return Booked(patient_id, site, protocol, estimate.estimate.total, booked.course)


async def _screen(staff: Staff, site: SampleSite, protocol: SampleProtocol, patient_id: str, turn: int) -> Screening:
    given = {**ANSWERS, **(HIGH_PRESSURE if turn == REVIEWED_TURN else {})}
    asked = [question.code for question in protocol.questionnaire.content.questions]
    request = RecordScreeningRequest(
        patient_id=patient_id,
        protocol_id=protocol.id,
        site_id=site.id,
        questionnaire_version_id=protocol.questionnaire.version_id,
        answers=[Answer(question_code=code, **given[code]) for code in asked if code in given],
    )
    screening: Screening = (await staff.nurse.call(ScreeningServiceStub, "RecordScreening", request)).screening
    return screening


async def _clear(
    staff: Staff, site: SampleSite, protocol: SampleProtocol, route: str, screening: Screening, today: date
) -> None:
    """For the longest session and the bands that the protocol has, and no more."""
    administering = {
        visit_type.code: minutes
        for visit_type in protocol.template.visit_types
        if (minutes := minutes_of(visit_type, SegmentKind.SEGMENT_KIND_ADMINISTRATION))
    }
    bands = {planned_band(each) for each in protocol.template.visit_types if each.code in administering}
    eligible = screening.outcome == SCREENING_OUTCOME_ELIGIBLE
    await staff.clinician.call(
        ClearanceServiceStub,
        "GrantClearance",
        GrantClearanceRequest(
            patient_id=screening.patient_id,
            protocol_id=protocol.id,
            site_id=site.id,
            route_codes=[route],
            effective_date=to_date(today),
            expire_date=to_date(today + CLEARED_FOR),
            screening_id=screening.id,
            band_codes=sorted(bands),
            session_minutes_max=max(administering.values(), default=0),
            conditions=[] if eligible else [ClearanceCondition(code="vitals_before_each_session")],
            override_reason="" if eligible else "Examined in person, and spoken about with the patient.",
        ),
    )


def _plan_request(
    site: SampleSite,
    protocol: SampleProtocol,
    template: ProtocolTemplate,
    wish: Mapping[str, Any],
    patient_id: str,
    today: date,
    attempt: int,
) -> PlanCourseRequest:
    counts, start = wish.get("visits", {}), time.fromisoformat(wish["start"])
    phases = wish.get("phases", [phase.code for phase in template.phases])
    earliest = today + NOTICE + timedelta(days=attempt)
    return PlanCourseRequest(
        site_id=site.id,
        patient_id=patient_id,
        protocol_version_id=protocol.version_id,
        route_code=wish["route"],
        phases=[PlanCourseRequest.PhaseChoice(phase_code=code, visit_count=counts.get(code, 0)) for code in phases],
        earliest_date=to_date(earliest),
        latest_date=to_date(earliest + WINDOW),
        preferred_time=TimeOfDay(hours=start.hour, minutes=start.minute),
    )


def _estimate_request(
    site: SampleSite, template: ProtocolTemplate, route: str, patient_id: str, visits: Sequence[Any]
) -> CreateEstimateRequest:
    types = {each.code: each for each in template.visit_types}
    request = CreateEstimateRequest(site_id=site.id, patient_id=patient_id)
    for visit in visits:
        visit_type = types[visit.visit_type_code]
        request.visits.add(
            visit_type_code=visit_type.code,
            route_code=route if minutes_of(visit_type, SegmentKind.SEGMENT_KIND_ADMINISTRATION) else "",
            band_code=planned_band(visit_type),
            start_time=visit.start_time,
        )
    return request


def planned_band(visit_type: VisitType) -> str:
    """By the minutes of administration or, without any, of consultation."""
    minutes = minutes_of(visit_type, SegmentKind.SEGMENT_KIND_ADMINISTRATION) or minutes_of(
        visit_type, SegmentKind.SEGMENT_KIND_CONSULTATION
    )
    return next(band.code for band in visit_type.bands if minutes <= band.max_minutes or not band.max_minutes)


def minutes_of(visit_type: VisitType, kind: SegmentKind.ValueType) -> int:
    return sum(segment.minutes for segment in visit_type.segments if segment.kind == kind)


async def _pay_deposit(
    staff: Staff, site: SampleSite, patient_id: str, course_id: str, estimate: Any, turn: int
) -> None:
    by_card = turn % 2 == 0
    await staff.desk.call(
        PaymentServiceStub,
        "RecordPayment",
        RecordPaymentRequest(
            site_id=site.id,
            patient_id=patient_id,
            course_id=course_id,
            amount=estimate.deposit_due,
            tender=TENDER_EXTERNAL_CARD if by_card else TENDER_CASH,
            terminal_reference=f"{site.code}-{turn:04d}" if by_card else "",
        ),
    )
