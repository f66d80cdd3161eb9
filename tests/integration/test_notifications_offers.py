"""What patients on the waitlist are told: what is offered, as long as it is, and how they take it."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from grpc import StatusCode

from atoll.notifications.v1 import link_service_pb2 as link_pb
from atoll.notifications.v1 import message_service_pb2 as pb
from atoll.notifications.v1.events_pb2 import OfferAcceptanceReceived
from atoll.scheduling.v1 import events_pb2 as scheduling
from chassis.ids import new_id, to_wire
from chassis.times import to_timestamp
from tests.integration.test_notifications_phone import (
    PHONE,
    keys_file,
    lead_to,
    office,
    permit_texts,
    twilio,
    use,
)
from tests.support.notifications import Office
from tests.support.service import NOW, refusal
from tests.support.twilio import FakeTwilio

__all__ = ["keys_file", "office", "twilio"]
START, EXPIRES = NOW + timedelta(days=2), NOW + timedelta(hours=2)
ACCEPT = link_pb.LINK_PURPOSE_ACCEPT_OFFER
WITHDRAWN, SCHEDULED = ("WITHDRAWN", "MATTER_CLOSED"), ("SCHEDULED", None)
LATE = datetime(2027, 3, 2, 2, 30, tzinfo=UTC)
"""19:30 in Denver."""


@dataclass
class Offer:
    office: Office
    expires: datetime = EXPIRES
    id: UUID = field(default_factory=new_id)

    def made(self) -> scheduling.OfferMade:
        visit = scheduling.BookedVisit(
            visit_id=to_wire("visit", self.id),
            start_time=to_timestamp(START),
            end_time=to_timestamp(START + timedelta(hours=1)),
            visit_type_code="infusion",
        )
        return scheduling.OfferMade(**self._of(), visit=visit, expire_time=to_timestamp(self.expires))

    def ended(self, outcome: str = "EXPIRED") -> scheduling.OfferEnded:
        value = scheduling.OfferOutcome.Value(f"OFFER_OUTCOME_{outcome}")
        return scheduling.OfferEnded(**self._of(), visit_id=to_wire("visit", self.id), outcome=value)

    def hold_expired(self) -> scheduling.CourseHoldExpired:
        of = self._of()
        named = {name: of[name] for name in ("site_id", "patient_id", "course_id")}
        return scheduling.CourseHoldExpired(**named, visit_ids=[to_wire("visit", self.id)])

    def _of(self) -> dict[str, Any]:
        return {
            "offer_id": to_wire("offer", self.id),
            "waitlist_entry_id": to_wire("waitlistentry", self.id),
            "site_id": to_wire("site", self.office.site_id),
            "patient_id": to_wire("patient", self.office.patient_id),
            "course_id": to_wire("course", self.id),
        }

    async def make(self) -> None:
        await self.office.svc.deliver(self.made())


async def told(office: Office) -> list[tuple[str, tuple[str, str | None]]]:
    return [(row["kind"], (row["status"], row["reason"])) for row in await office.rows()]


async def letter(office: Office) -> str:
    [mail] = office.mailbox.arrived
    body = mail.get_body(("plain",))
    assert body
    return str(body.get_content())


async def accepted(office: Office) -> list[OfferAcceptanceReceived]:
    return [event for _, event in await office.svc.published() if isinstance(event, OfferAcceptanceReceived)]


async def test_what_is_offered_is_told_at_once_by_email_and_by_text(office: Office, twilio: FakeTwilio) -> None:
    permit_texts(office)
    offer = Offer(office)
    for _ in range(2):
        await offer.make()
    await office.sender().drain()
    assert await told(office) == [("WAITLIST_OFFER", ("SENT", None))] * 2
    text = await letter(office)
    assert all(words in text for words in ("Wednesday, March 3", "9:00 AM", "until 11:00 AM", "1 Main St"))
    [sms] = twilio.texts
    assert sms["To"] == PHONE
    assert sms["Body"].startswith("Harbor Lane: free Wed, Mar 3, 9:00 AM MST. Claim by 11:00 AM MST: ")
    [row, _] = await office.rows()
    request = pb.GetMessageRequest(message_id=to_wire("message", row["id"]))
    assert (await office.svc.call(office.stub.GetMessage, request)).message.about == to_wire("offer", offer.id)


@pytest.mark.parametrize("outcome", ["ACCEPTED", "DECLINED", "EXPIRED", "WITHDRAWN"])
async def test_an_offer_that_has_ended_is_not_told_in_whatever_order_that_is_heard(
    office: Office, outcome: str
) -> None:
    for first, second in permutations(("made", "ended")):
        offer = Offer(office)
        events = {"made": offer.made(), "ended": offer.ended(outcome)}
        await office.svc.deliver(events[first])
        await office.svc.deliver(events[second])
        withdrawn = [("WAITLIST_OFFER", WITHDRAWN)] * 2 if first == "made" else []
        assert await told(office) == withdrawn, first
        await office.svc.admin.execute("DELETE FROM message")


async def test_what_expires_before_it_can_be_told_is_not_told(office: Office) -> None:
    await Offer(office).make()
    office.svc.clock.now = EXPIRES
    await office.sender().drain()
    assert await told(office) == [("WAITLIST_OFFER", ("SUPPRESSED", "TOO_LATE"))] * 2


async def test_in_quiet_hours_what_cannot_wait_goes_by_email_alone(office: Office, twilio: FakeTwilio) -> None:
    permit_texts(office)
    office.svc.clock.now = LATE
    await Offer(office, LATE + timedelta(hours=2)).make()
    office.svc.clock.now = LATE + timedelta(hours=1)  # 20:30: whoever sends was held up.
    await office.sender().drain()
    ways = {(row["channel"], row["status"], row["reason"]) for row in await office.rows()}
    assert ways == {("EMAIL", "SENT", None), ("SMS", "SUPPRESSED", "QUIET_HOURS")}
    assert (len(office.mailbox.arrived), twilio.texts) == (1, [])
    [passed_over] = [json.loads(row["passed_over"]) for row in await office.rows() if row["channel"] == "SMS"]
    assert {each["reason"] for each in passed_over} == {"QUIET_HOURS"}


async def test_an_offer_whose_hold_ran_out_is_no_hold_of_the_patient_s(office: Office) -> None:
    offer = Offer(office)
    for event in (offer.made(), offer.ended(), offer.hold_expired(), Offer(office).hold_expired()):
        await office.svc.deliver(event)
    assert [kind for kind, _ in await told(office) if kind == "HOLD_EXPIRED"] == ["HOLD_EXPIRED"]


async def test_a_letter_leads_to_where_the_offer_is_taken_once(office: Office) -> None:
    await lead_to(office, "https://visits.example.org/")
    offer = Offer(office)
    await offer.make()
    await office.sender().drain()
    [token] = re.findall(r"https://visits\.example\.org/accept/([A-Za-z0-9_-]{43})\b", await letter(office))
    office.svc.clock.now = EXPIRES - timedelta(seconds=1)
    assert (await use(office, token, ACCEPT)).about_id == to_wire("offer", offer.id)
    assert (await refusal(use(office, token, ACCEPT))).reason == "LINK_USED"
    [told] = await accepted(office)
    ids = to_wire("offer", offer.id), to_wire("patient", office.patient_id), to_wire("site", office.site_id)
    assert (told.offer_id, told.patient_id, told.site_id) == ids


@pytest.mark.parametrize(("over", "reason"), [("expired", "LINK_EXPIRED"), ("ended", "LINK_OUT_OF_DATE")])
async def test_the_link_of_an_offer_that_is_over_takes_nothing(office: Office, over: str, reason: str) -> None:
    await lead_to(office, "https://visits.example.org/")
    offer = Offer(office)
    await offer.make()
    await office.sender().drain()
    [token] = re.findall(r"/accept/([A-Za-z0-9_-]{43})\b", await letter(office))
    if over == "expired":
        office.svc.clock.now = EXPIRES
    else:
        await office.svc.deliver(offer.ended("DECLINED"))
    refused = await refusal(use(office, token, ACCEPT))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, reason)
    assert await accepted(office) == []
