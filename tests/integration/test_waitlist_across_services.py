"""A visit is cancelled; who waits is written to, takes the time by the link in the letter, and is booked.

Scheduling and notifications side by side, each hearing what the other published.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from atoll.notifications.v1 import link_service_pb2 as link_pb
from atoll.scheduling.v1.waitlist_pb2 import WAITLIST_STATUS_BOOKED, WAITLIST_STATUS_OFFERED
from chassis.ids import from_wire
from tests.integration.test_notifications_phone import keys_file, lead_to, use
from tests.integration.test_scheduling_waitlist import cancel, fill
from tests.support.notifications import Office, open_office
from tests.support.scheduling import Clinic, open_clinic, open_scheduling

__all__ = ["keys_file"]


@pytest_asyncio.fixture
async def clinic(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Clinic]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield await open_clinic(svc)


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Office]:
    async with open_office(postgres_url, issuer_folder) as office:
        yield office


async def carry(told: list[tuple[str, Any]], to: Any) -> None:
    """To another service what it reads, as of its own chain."""
    reads = {type_ for each in to.service.reads.values() for type_ in each}
    for _, event in told:
        if type(event) in reads:
            event.ClearField("meta")
            await to.deliver(event)


async def test_who_waits_takes_what_is_freed_by_the_link_in_their_letter(clinic: Clinic, office: Office) -> None:
    office.site_id = clinic.site_uuid
    await office.svc.deliver(office.site_registered(office.site_id))
    await lead_to(office, "https://visits.example.org/")
    course, _ = await fill(clinic)
    patient_id = await clinic.add_patient()
    await office.register(from_wire("patient", patient_id), "ana@example.org")
    entry = await clinic.join(patient_id)
    await clinic.offer_times()
    assert not (await clinic.entry(entry.id)).HasField("offer")
    before = len(await clinic.published())
    await cancel(clinic, course)
    await clinic.offer_times()
    offered = await clinic.entry(entry.id)
    assert offered.status == WAITLIST_STATUS_OFFERED
    await carry((await clinic.published())[before:], office.svc)
    await office.sender().drain()
    letters = [mail for mail in office.mailbox.arrived if mail["To"] == "ana@example.org"]
    [letter] = [str(mail.get_body(("plain",)).get_content()) for mail in letters]  # type: ignore[union-attr]
    assert all(words in letter for words in ("Tuesday, March 2, 2027", "9:00 AM MST", "until 11:00 AM MST"))
    [token] = re.findall(r"https://visits\.example\.org/accept/([A-Za-z0-9_-]{43})\b", letter)
    used = await use(office, token, link_pb.LINK_PURPOSE_ACCEPT_OFFER)
    assert (used.about_id, used.patient_id) == (offered.offer.id, patient_id)
    before = len(await clinic.published())
    await carry(await office.svc.published(), clinic.svc)
    assert (await clinic.entry(entry.id)).status == WAITLIST_STATUS_BOOKED
    await carry((await clinic.published())[before:], office.svc)
    [confirmation] = await office.rows("VISIT_CONFIRMATION")
    assert confirmation["visit_id"] == from_wire("visit", offered.offer.visit_id)
