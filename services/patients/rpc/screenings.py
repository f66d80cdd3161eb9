"""ScreeningService."""

from datetime import date
from uuid import UUID

from atoll.patients.v1 import screening_service_pb2 as pb
from atoll.patients.v1.questionnaire_pb2 import ScreeningOutcome
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, some_to_wire, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_timestamp
from services.patients.domain.eligibility import Chosen, Value
from services.patients.domain.screenings import Review, Screening
from services.patients.store import PatientsStore
from services.patients.use_cases import screenings as use_cases
from services.patients.use_cases.screenings import RecordScreening


class ScreeningServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def RecordScreening(self, request: pb.RecordScreeningRequest, call: Call) -> pb.RecordScreeningResponse:
        command = RecordScreening(
            patient_id=from_wire("patient", request.patient_id),
            protocol_id=from_wire("protocol", request.protocol_id),
            site_id=from_wire("site", request.site_id),
            questionnaire_version_id=from_wire("questionnaireversion", request.questionnaire_version_id),
            answers=tuple((each.question_code, _value(n, each)) for n, each in enumerate(request.answers)),
        )

        async def work(store: PatientsStore) -> pb.RecordScreeningResponse:
            return pb.RecordScreeningResponse(screening=to_screening(await use_cases.record_screening(store, command)))

        return await self._db.once(
            call, request, pb.RecordScreeningResponse, PatientsStore, work, locks=[command.patient_id]
        )

    async def GetScreening(self, request: pb.GetScreeningRequest, call: Call) -> pb.GetScreeningResponse:
        screening_id = from_wire("screening", request.screening_id)
        screening = await self._db.read(call, request, PatientsStore, lambda store: store.screening(screening_id))
        return pb.GetScreeningResponse(screening=to_screening(screening))

    async def ListScreenings(self, request: pb.ListScreeningsRequest, call: Call) -> pb.ListScreeningsResponse:
        patient_id, page = from_wire("patient", request.patient_id), Page.of(request, call)
        before = UUID(page.after[0]) if page.after else None
        found = await self._db.read(
            call, request, PatientsStore, lambda store: store.screenings(patient_id, before, page.limit)
        )
        kept, token = page.cut(found, key=lambda each: [str(each.id)])
        return pb.ListScreeningsResponse(screenings=map(to_screening, kept), next_page_token=token)

    async def ListScreeningsToReview(
        self, request: pb.ListScreeningsToReviewRequest, call: Call
    ) -> pb.ListScreeningsToReviewResponse:
        site_id, page = from_wire("site", request.site_id), Page.of(request, call)
        before = UUID(page.after[0]) if page.after else None

        async def work(store: PatientsStore) -> pb.ListScreeningsToReviewResponse:
            """Cut to the page inside, since the audit row names who is shown."""
            found = await store.screenings_to_review(site_id, before, page.limit)
            kept, token = page.cut(found, key=lambda each: [str(each.id)])
            return pb.ListScreeningsToReviewResponse(screenings=map(to_screening, kept), next_page_token=token)

        return await self._db.read(call, request, PatientsStore, work)

    async def ReviewScreening(self, request: pb.ReviewScreeningRequest, call: Call) -> pb.ReviewScreeningResponse:
        screening_id = from_wire("screening", request.screening_id)

        async def work(store: PatientsStore) -> pb.ReviewScreeningResponse:
            reviewed = await use_cases.review_screening(store, screening_id, request.reason)
            return pb.ReviewScreeningResponse(screening=to_screening(reviewed))

        return await self._db.once(call, request, pb.ReviewScreeningResponse, PatientsStore, work)


def _value(n: int, answer: pb.Answer) -> Value:
    match answer.WhichOneof("value"):
        case "bool_value":
            return answer.bool_value
        case "int_value":
            return answer.int_value
        case "option_code":
            return Chosen(answer.option_code)
        case "date_value":
            return from_date(answer.date_value, f"answers[{n}].date_value")
        case _:
            return answer.text_value


def _answer(code: str, value: Value) -> pb.Answer:
    match value:
        case bool():  # Before int, which it is, too.
            return pb.Answer(question_code=code, bool_value=value)
        case int():
            return pb.Answer(question_code=code, int_value=value)
        case Chosen():
            return pb.Answer(question_code=code, option_code=value.code)
        case date():
            return pb.Answer(question_code=code, date_value=to_date(value))
        case _:
            return pb.Answer(question_code=code, text_value=value)


def to_screening(screening: Screening) -> pb.Screening:
    version_id = screening.questionnaire_version_id
    return pb.Screening(
        id=to_wire("screening", screening.id),
        patient_id=to_wire("patient", screening.patient_id),
        protocol_id=to_wire("protocol", screening.protocol_id),
        site_id=to_wire("site", screening.site_id),
        answers=[_answer(code, value) for code, value in screening.answers],
        create_time=to_timestamp(screening.recorded_at),
        recorded_by=screening.recorded_by,
        questionnaire_version_id=to_wire("questionnaireversion", version_id) if version_id else "",
        outcome=ScreeningOutcome.Value(screening.outcome),
        reason_codes=screening.reason_codes,
        review=_to_review(screening.review) if screening.review else None,
    )


def _to_review(review: Review) -> pb.ScreeningReview:
    return pb.ScreeningReview(
        decision=pb.ScreeningDecision.Value(review.decision or "SCREENING_DECISION_UNSPECIFIED"),
        decide_time=to_timestamp(review.decided_at) if review.decided_at else None,
        decided_by=review.decided_by or "",
        reason=review.reason,
        clearance_id=some_to_wire("clearance", review.clearance_id),
    )
