"""Who looks at records, and who looks after them."""

from typing import Any
from uuid import UUID, uuid4

from atoll.patients.v1 import access_service_pb2 as access_pb
from atoll.patients.v1 import break_glass_service_pb2 as glass_pb
from atoll.patients.v1 import retention_service_pb2 as retention_pb
from atoll.patients.v1.access_service_pb2_grpc import AccessServiceStub
from atoll.patients.v1.break_glass_service_pb2_grpc import BreakGlassServiceStub
from atoll.patients.v1.retention_service_pb2_grpc import RetentionServiceStub
from chassis.ids import from_wire, to_wire
from tests.support.patients import Desk

REASON = "found unconscious in the waiting room"


async def break_glass(desk: Desk, patient_id: str, token: str | None = None, **changes: Any) -> glass_pb.GlassBreak:
    """By a clinician of the other site, unless a token says otherwise."""
    fields: dict[str, Any] = {
        "request_id": str(uuid4()),
        "patient_id": patient_id,
        "site_id": to_wire("site", desk.other_site_id),
        "reason": REASON,
    }
    request, token = glass_pb.BreakGlassRequest(**fields | changes), token or stranger(desk)
    stub = desk.service.stub(BreakGlassServiceStub)
    broken: glass_pb.GlassBreak = (await desk.service.call(stub.BreakGlass, request, token)).glass_break
    return broken


async def glass_breaks(desk: Desk, token: str | None = None, **asked: Any) -> glass_pb.ListGlassBreaksResponse:
    stub, request = desk.service.stub(BreakGlassServiceStub), glass_pb.ListGlassBreaksRequest(**asked)
    listed: glass_pb.ListGlassBreaksResponse = await desk.service.call(stub.ListGlassBreaks, request, token)
    return listed


async def review(desk: Desk, glass_break_id: str, token: str | None = None, **changes: Any) -> glass_pb.GlassBreak:
    fields: dict[str, Any] = {
        "request_id": str(uuid4()),
        "glass_break_id": glass_break_id,
        "finding": glass_pb.GLASS_FINDING_JUSTIFIED,
        "note": "an emergency",
    }
    stub, request = desk.service.stub(BreakGlassServiceStub), glass_pb.ReviewGlassBreakRequest(**fields | changes)
    reviewed: glass_pb.GlassBreak = (await desk.service.call(stub.ReviewGlassBreak, request, token)).glass_break
    return reviewed


def stranger(desk: Desk, role: str = "ROLE_CLINICIAN", subject: str = "stranger", **changes: Any) -> str:
    """Of the other site, which sees no record of the first one."""
    sites: list[UUID] = [desk.other_site_id]
    return desk.service.token(role, sites=sites, subject=subject, **changes)


async def let_it_expire(desk: Desk, glass_break_id: str) -> None:
    """As if it had been broken an hour earlier. Access runs on real time."""
    hour = "- interval '1 hour'"
    earlier = f"UPDATE break_glass SET started_at = started_at {hour}, expire_at = expire_at {hour} WHERE id = $1"
    await desk.service.admin.execute(earlier, from_wire("glass", glass_break_id))


async def accesses(
    desk: Desk, patient_id: str, token: str | None = None, **asked: Any
) -> access_pb.ListAccessesResponse:
    stub, request = desk.service.stub(AccessServiceStub), access_pb.ListAccessesRequest(patient_id=patient_id, **asked)
    listed: access_pb.ListAccessesResponse = await desk.service.call(stub.ListAccesses, request, token)
    return listed


class Retention:
    """What an admin of the chain does about keeping and forgetting, unless a token says otherwise."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._stub = desk, desk.service.stub(RetentionServiceStub)

    async def _call(self, method: str, request: Any, token: str | None) -> Any:
        return await self._desk.service.call(getattr(self._stub, method), request, token)

    async def policy(self, token: str | None = None) -> tuple[int, int]:
        answer = await self._call("GetRetentionPolicy", retention_pb.GetRetentionPolicyRequest(), token)
        return answer.policy.years, answer.policy.years_of_age

    async def set_policy(self, years: int, years_of_age: int, token: str | None = None) -> None:
        policy = retention_pb.RetentionPolicy(years=years, years_of_age=years_of_age)
        request = retention_pb.SetRetentionPolicyRequest(request_id=str(uuid4()), policy=policy)
        await self._call("SetRetentionPolicy", request, token)

    async def of(self, patient_id: str, token: str | None = None) -> retention_pb.Retention:
        request = retention_pb.GetRetentionRequest(patient_id=patient_id)
        found: retention_pb.Retention = (await self._call("GetRetention", request, token)).retention
        return found

    async def holds(self, patient_id: str) -> list[tuple[str, tuple[int, int, int]]]:
        """Kind and day of each."""
        return [named(hold) for hold in (await self.of(patient_id)).holds]

    async def due(self, token: str | None = None, **asked: Any) -> retention_pb.ListDueForAnonymisationResponse:
        request = retention_pb.ListDueForAnonymisationRequest(**asked)
        listed: retention_pb.ListDueForAnonymisationResponse = await self._call(
            "ListDueForAnonymisation", request, token
        )
        return listed

    async def restrict(self, patient_id: str, token: str | None = None, **changes: Any) -> retention_pb.Restriction:
        fields = {"request_id": str(uuid4()), "patient_id": patient_id, "reason": "asked for it"} | changes
        request = retention_pb.RestrictPatientRequest(**fields)
        decided: retention_pb.Restriction = (await self._call("RestrictPatient", request, token)).restriction
        return decided

    async def lift(self, patient_id: str, token: str | None = None, **changes: Any) -> retention_pb.Restriction:
        fields = {"request_id": str(uuid4()), "patient_id": patient_id, "reason": "agreed again"} | changes
        request = retention_pb.LiftRestrictionRequest(**fields)
        decided: retention_pb.Restriction = (await self._call("LiftRestriction", request, token)).restriction
        return decided

    async def anonymise(self, patient_id: str, token: str | None = None, **changes: Any) -> retention_pb.Retention:
        fields = {"request_id": str(uuid4()), "patient_id": patient_id} | changes
        request = retention_pb.AnonymisePatientRequest(**fields)
        forgotten: retention_pb.Retention = (await self._call("AnonymisePatient", request, token)).retention
        return forgotten


def named(hold: retention_pb.RetentionHold) -> tuple[str, tuple[int, int, int]]:
    kind = retention_pb.RetentionHoldKind.Name(hold.kind).removeprefix("RETENTION_HOLD_KIND_")
    return kind, (hold.until_date.year, hold.until_date.month, hold.until_date.day)
