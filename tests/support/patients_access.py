"""Who looks at records, and who looks after them."""

from typing import Any
from uuid import UUID, uuid4

from atoll.patients.v1 import access_service_pb2 as access_pb
from atoll.patients.v1 import break_glass_service_pb2 as glass_pb
from atoll.patients.v1.access_service_pb2_grpc import AccessServiceStub
from atoll.patients.v1.break_glass_service_pb2_grpc import BreakGlassServiceStub
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
