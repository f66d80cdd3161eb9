"""Links in messages, through the door: used once, for one thing, in time, by the chain that made them."""

import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.notifications.v1 import link_service_pb2 as pb
from atoll.notifications.v1.link_service_pb2_grpc import LinkServiceStub
from atoll.scheduling.v1.events_pb2 import BookedVisit, CourseBooked, VisitCancelled
from chassis.ids import new_id, to_wire
from chassis.times import to_timestamp
from services.notifications.domain.links import Link, LinkPurpose
from services.notifications.settings import MESSAGE_KEYS
from services.notifications.texting.keys import message_keys
from services.notifications.use_cases.links import make_link
from tests.support.service import refusal
from tests.support.texting import TextingOffice, open_texting

WEEK = timedelta(days=7)
CONFIRM, PAY = pb.LINK_PURPOSE_CONFIRM_VISIT, pb.LINK_PURPOSE_PAY


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[TextingOffice]:
    async with open_texting(postgres_url, issuer_folder) as office:
        yield office


async def a_link(office: TextingOffice, about_id: UUID, purpose: LinkPurpose = LinkPurpose.CONFIRM_VISIT) -> str:
    until, sign = office.svc.now + WEEK, message_keys().digest
    token: str = await office.job(
        lambda store: make_link(
            store, Link(new_id(), purpose, about_id, office.patient_id, office.site_id, until), sign
        )
    )
    return token


async def use(office: TextingOffice, link: str, purpose: Any = CONFIRM, **more: Any) -> pb.UseLinkResponse:
    request_id, token = more.get("request_id", str(uuid4())), more.get("token", office.svc.token("ROLE_INTEGRATION"))
    request = pb.UseLinkRequest(request_id=request_id, token=link, purpose=purpose)
    answer: pb.UseLinkResponse = await office.svc.call(office.svc.stub(LinkServiceStub).UseLink, request, token)
    return answer


async def test_a_visit_is_confirmed_by_a_link_once(office: TextingOffice) -> None:
    visit_id, request_id = await office.book(start=office.svc.now + WEEK), str(uuid4())
    link = await a_link(office, visit_id)
    used = await use(office, link, request_id=request_id)
    assert used == pb.UseLinkResponse(
        patient_id=to_wire("patient", office.patient_id),
        site_id=to_wire("site", office.site_id),
        about_id=to_wire("visit", visit_id),
    )
    assert await use(office, link, request_id=request_id) == used
    refused = await refusal(use(office, link))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "LINK_USED")
    [event] = await office.told()
    assert (event.DESCRIPTOR.name, event.visit_id) == ("VisitConfirmationReceived", used.about_id)


@pytest.mark.parametrize(
    ("purpose", "kind"),
    [
        ("ACKNOWLEDGE_ESTIMATE", "estimate"),
        ("PAY", "invoice"),
        ("READ_RECEIPT", "payment"),
        ("READ_REFUND", "refund"),
        ("READ_CREDIT_NOTE", "creditnote"),
        ("SIGN_CONSENT", "consentdocumentversion"),
    ],
)
async def test_what_other_links_are_about_is_told_for_the_site_to_do(
    office: TextingOffice, purpose: str, kind: str
) -> None:
    about_id = new_id()
    link = await a_link(office, about_id, LinkPurpose(purpose))
    used = await use(office, link, pb.LinkPurpose.Value(f"LINK_PURPOSE_{purpose}"))
    assert used.about_id == to_wire(kind, about_id)
    assert await office.told() == []


async def test_without_keys_a_link_is_used_later(office: TextingOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    link = await a_link(office, await office.book(start=office.svc.now + WEEK))
    with monkeypatch.context() as without:
        without.delenv(MESSAGE_KEYS)
        refused = await refusal(use(office, link))
        assert (refused.code, refused.reason) == (StatusCode.UNAVAILABLE, "MESSAGE_KEYS_MISSING")
    await use(office, link)


async def test_a_link_of_a_visit_that_moved_confirms_no_other_hour(office: TextingOffice) -> None:
    visit_id, course_id = new_id(), to_wire("course", new_id())
    for version, later in enumerate((timedelta(), timedelta(days=1)), 1):
        link = await a_link(office, visit_id) if later else ""
        start = to_timestamp(office.svc.now + WEEK + later)
        moved = CourseBooked(
            course_id=course_id,
            site_id=to_wire("site", office.site_id),
            patient_id=to_wire("patient", office.patient_id),
            visits=[BookedVisit(visit_id=to_wire("visit", visit_id), start_time=start)],
        )
        await office.svc.deliver(moved, version=version)
    refused = await refusal(use(office, link))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "LINK_OUT_OF_DATE")
    assert await office.told() == []


async def test_a_link_of_a_visit_that_is_off_confirms_nothing(office: TextingOffice) -> None:
    visit_id = await office.book(start=office.svc.now + WEEK)
    link, patient_id = await a_link(office, visit_id), to_wire("patient", office.patient_id)
    site_id = to_wire("site", office.site_id)
    await office.svc.deliver(
        VisitCancelled(visit_id=to_wire("visit", visit_id), site_id=site_id, patient_id=patient_id)
    )
    refused = await refusal(use(office, link))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "LINK_OUT_OF_DATE")
    assert await office.told() == []


async def test_a_link_is_good_until_its_instant(office: TextingOffice) -> None:
    visits = [await office.book(start=office.svc.now + WEEK) for _ in range(2)]
    link, other = [await a_link(office, visit_id) for visit_id in visits]
    office.svc.clock.now += WEEK - timedelta(seconds=1)
    await use(office, link)
    office.svc.clock.now += timedelta(seconds=1)
    refused = await refusal(use(office, other))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "LINK_EXPIRED")


async def test_a_link_is_good_for_its_purpose_and_chain_only_and_cannot_be_made_up(office: TextingOffice) -> None:
    link, svc = await a_link(office, await office.book(start=office.svc.now + WEEK)), office.svc
    raw = bytearray(base64.urlsafe_b64decode(link + "="))
    assert len(link) == 43
    raw[0] ^= 1
    forged = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    raw[0] ^= 1
    raw[-1] ^= 1
    spoilt = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    for token, purpose, caller in (
        (link, PAY, svc.token("ROLE_INTEGRATION")),
        (forged, CONFIRM, svc.token("ROLE_INTEGRATION")),
        (spoilt, CONFIRM, svc.token("ROLE_INTEGRATION")),
        (link, CONFIRM, svc.token("ROLE_INTEGRATION", chain_id=new_id())),
    ):
        refused = await refusal(use(office, token, purpose, token=caller))
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "LINK_NOT_FOUND")
    for role in ("ROLE_FRONT_DESK", "ROLE_PATIENT", "ROLE_CHAIN_ADMIN"):
        refused = await refusal(use(office, link, token=svc.token(role)))
        assert refused.code == StatusCode.PERMISSION_DENIED
    assert await office.told() == []
    await use(office, link)


async def test_a_token_says_nothing_of_whom_it_is_for(office: TextingOffice) -> None:
    visit_id = new_id()
    raw = base64.urlsafe_b64decode(await a_link(office, visit_id) + "=")
    for id in (visit_id, office.patient_id, office.site_id, office.svc.chain_id):
        assert id.bytes not in raw
