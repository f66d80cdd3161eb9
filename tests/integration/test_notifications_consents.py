"""Who hears that a form is to be signed anew: once for each version, with a visit to come, until it is signed."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from atoll.notifications.v1 import message_service_pb2 as pb
from atoll.patients.v1 import events_pb2 as events
from chassis.ids import new_id, to_wire
from tests.support.notifications import FIRST, Office, open_office

KIND = "CONSENT_OUTDATED"


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Office]:
    async with open_office(postgres_url, issuer_folder) as office:
        yield office


def outdated(office: Office, document_id: UUID, number: int = 2, **changes: Any) -> events.ConsentOutdated:
    fields: dict[str, Any] = {
        "patient_id": to_wire("patient", office.patient_id),
        "consent_document_id": to_wire("consentdocument", document_id),
        "document_code": "TREATMENT",
        "consent_document_version_id": to_wire("consentdocumentversion", new_id()),
        "version_number": number,
        "site_ids": [to_wire("site", office.site_id)],
    }
    return events.ConsentOutdated(**fields | changes)


def signed(event: events.ConsentOutdated) -> dict[str, Any]:
    return {"patient_id": event.patient_id, "consent_document_id": event.consent_document_id}


async def told(office: Office) -> list[tuple[str, str | None]]:
    return [(row["status"], row["reason"]) for row in await office.rows(KIND)]


async def test_whoever_has_a_visit_to_come_hears_at_once_and_once(office: Office) -> None:
    await office.book()
    event = outdated(office, new_id())
    for _ in range(2):
        await office.svc.deliver(event)
    await office.book(FIRST + timedelta(days=7))
    assert await told(office) == [("SCHEDULED", None)]
    await office.sender().drain()
    [row] = await office.rows(KIND)
    request = pb.GetMessageRequest(message_id=to_wire("message", row["id"]))
    message = (await office.svc.call(office.stub.GetMessage, request)).message
    assert (message.about, message.rule_code) == (event.consent_document_version_id, "consent_outdated")
    [letter] = [each for each in office.mailbox.arrived if each["Subject"] == "A form to sign: Harbor Lane"]
    body = letter.get_body(("plain",))
    assert body
    assert "A form that you signed has a new version." in body.get_content()
    assert "TREATMENT" not in letter.as_string()


async def test_whoever_has_none_hears_when_one_is_booked_where_it_is_signed(office: Office) -> None:
    other = new_id()
    await office.svc.deliver(office.site_registered(other))
    await office.svc.deliver(outdated(office, new_id()))
    await office.svc.deliver(office.course_booked(FIRST, site_id=other))
    assert await told(office) == []
    await office.book(FIRST + timedelta(days=1))
    assert await told(office) == [("SCHEDULED", None)]


@pytest.mark.parametrize("how", ["signed", "withdrawn", "retired"])
async def test_what_is_signed_taken_back_or_retired_is_not_asked_for(office: Office, how: str) -> None:
    await office.book()
    event = outdated(office, new_id())
    await office.svc.deliver(event)
    ended = {
        "signed": events.ConsentSigned(**signed(event)),
        "withdrawn": events.ConsentWithdrawn(**signed(event)),
        "retired": events.ConsentDocumentRetired(consent_document_id=event.consent_document_id),
    }[how]
    await office.svc.deliver(ended)
    assert await told(office) == [("WITHDRAWN", "MATTER_CLOSED")]
    await office.book(FIRST + timedelta(days=7))
    assert len(await told(office)) == 1


async def test_another_document_s_signature_ends_nothing(office: Office) -> None:
    await office.book()
    await office.svc.deliver(outdated(office, new_id()))
    await office.svc.deliver(events.ConsentSigned(**signed(outdated(office, new_id()))))
    assert await told(office) == [("SCHEDULED", None)]


async def test_a_later_version_takes_the_place_of_what_was_not_sent_yet(office: Office) -> None:
    await office.book()
    document_id = new_id()
    await office.svc.deliver(outdated(office, document_id, 2))
    await office.svc.deliver(outdated(office, document_id, 3))
    assert sorted(await told(office), key=str) == [("SCHEDULED", None), ("WITHDRAWN", "MATTER_CLOSED")]


async def test_a_visit_that_is_off_or_over_asks_for_no_form(office: Office) -> None:
    booked = await office.book()
    await office.svc.deliver(office.cancelled(booked))
    await office.svc.deliver(outdated(office, new_id()))
    assert await told(office) == []
