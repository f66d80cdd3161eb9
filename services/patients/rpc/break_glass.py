"""Breaking the glass, and looking after it."""

from uuid import UUID

from atoll.patients.v1 import break_glass_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import to_timestamp
from services.patients.domain.break_glass import MINUTES_DEFAULT, Finding, GlassBreak, Review
from services.patients.store import PatientsStore
from services.patients.use_cases import break_glass as use_cases
from services.patients.use_cases.break_glass import BreakGlass, ReviewGlassBreak

FINDINGS = {
    pb.GLASS_FINDING_JUSTIFIED: Finding.JUSTIFIED,
    pb.GLASS_FINDING_NOT_JUSTIFIED: Finding.NOT_JUSTIFIED,
}
ON_WIRE = {finding: value for value, finding in FINDINGS.items()}


class BreakGlassServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def BreakGlass(self, request: pb.BreakGlassRequest, call: Call) -> pb.BreakGlassResponse:
        command = BreakGlass(
            patient_id=from_wire("patient", request.patient_id),
            site_id=from_wire("site", request.site_id),
            reason=request.reason.strip(),
            minutes=request.minutes or MINUTES_DEFAULT,
        )

        async def work(store: PatientsStore) -> pb.BreakGlassResponse:
            return pb.BreakGlassResponse(glass_break=_glass_break(await use_cases.break_glass(store, command)))

        return await self._db.once(call, request, pb.BreakGlassResponse, PatientsStore, work)

    async def ListGlassBreaks(self, request: pb.ListGlassBreaksRequest, call: Call) -> pb.ListGlassBreaksResponse:
        page = Page.of(request, call)
        site_id = from_wire("site", request.site_id) if request.site_id else None
        before = UUID(page.after[0]) if page.after else None

        async def work(store: PatientsStore) -> pb.ListGlassBreaksResponse:
            found = await store.glass_breaks(site_id, request.reviewed_too, before, page.limit)
            kept, token = page.cut(found, key=lambda each: [str(each.id)])
            return pb.ListGlassBreaksResponse(glass_breaks=[_glass_break(each) for each in kept], next_page_token=token)

        return await self._db.read(call, request, PatientsStore, work)

    async def ReviewGlassBreak(self, request: pb.ReviewGlassBreakRequest, call: Call) -> pb.ReviewGlassBreakResponse:
        command = ReviewGlassBreak(
            glass_break_id=from_wire("glass", request.glass_break_id),
            finding=FINDINGS[request.finding],
            note=request.note,
        )

        async def work(store: PatientsStore) -> pb.ReviewGlassBreakResponse:
            reviewed = await use_cases.review_glass_break(store, command)
            return pb.ReviewGlassBreakResponse(glass_break=_glass_break(reviewed))

        return await self._db.once(call, request, pb.ReviewGlassBreakResponse, PatientsStore, work)


def _glass_break(glass: GlassBreak) -> pb.GlassBreak:
    return pb.GlassBreak(
        id=to_wire("glass", glass.id),
        patient_id=to_wire("patient", glass.patient_id),
        site_id=to_wire("site", glass.site_id),
        actor=glass.actor,
        reason=glass.reason,
        start_time=to_timestamp(glass.started_at),
        expire_time=to_timestamp(glass.expire_at),
        review=_review(glass.review) if glass.review else None,
    )


def _review(review: Review) -> pb.GlassReview:
    return pb.GlassReview(
        finding=ON_WIRE[review.finding],
        note=review.note,
        reviewed_by=review.reviewed_by,
        review_time=to_timestamp(review.reviewed_at),
    )
