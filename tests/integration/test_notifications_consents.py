"""Who hears that a form is to be signed anew: once for each version, with a visit to come, until it is signed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count, permutations
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from atoll.common.v1.event_meta_pb2 import EventMeta
from atoll.notifications.v1 import cadence_service_pb2 as cadence_pb
from atoll.notifications.v1 import message_service_pb2 as pb
from atoll.notifications.v1.cadence_service_pb2_grpc import CadenceServiceStub
from atoll.patients.v1 import events_pb2 as events
from atoll.patients.v1.patient_pb2 import CONTACT_SYSTEM_EMAIL
from chassis.ids import new_id, to_wire
from chassis.migrate import migrate
from chassis.provision import provision
from chassis.times import to_timestamp
from services.notifications.domain.renewals import Renewal
from services.notifications.store import NotificationsStore
from tests.support.notifications import FIRST, Office, open_office
from tests.support.servers import as_administrator, drop, password_of
from tests.support.service import NOW

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


@dataclass
class Person:
    """Somebody with two records, and a document of their own; facts happen in the minutes that they are given."""

    office: Office
    ids: tuple[UUID, UUID] = field(default_factory=lambda: (new_id(), new_id()))
    document_id: UUID = field(default_factory=new_id)

    async def register(self) -> None:
        for patient_id in self.ids:
            await self.office.register(patient_id)

    def meta(self, minute: int, version: int = 0) -> EventMeta:
        at: datetime = NOW + timedelta(minutes=minute)
        chain = to_wire("chain", self.office.svc.chain_id)
        return EventMeta(event_id=str(uuid4()), occur_time=to_timestamp(at), chain_id=chain, aggregate_version=version)

    def booked(self, minute: int, record: int = 0) -> Any:
        event = self.office.course_booked(FIRST, patient_id=self.ids[record])
        event.meta.CopyFrom(self.meta(minute))
        return event

    def outdated(self, minute: int, number: int, record: int = 0) -> Any:
        patient_id = to_wire("patient", self.ids[record])
        return outdated(self.office, self.document_id, number, meta=self.meta(minute), patient_id=patient_id)

    def signed(self, minute: int, number: int, record: int = 0) -> Any:
        return events.ConsentSigned(**self._ended(minute, number, record))

    def withdrawn(self, minute: int, number: int, record: int = 0) -> Any:
        return events.ConsentWithdrawn(**self._ended(minute, number, record))

    def retired(self, minute: int) -> Any:
        document_id = to_wire("consentdocument", self.document_id)
        return events.ConsentDocumentRetired(meta=self.meta(minute), consent_document_id=document_id)

    def merged(self, minute: int) -> Any:
        survivor, alias = (to_wire("patient", id) for id in self.ids)
        return events.PatientMerged(meta=self.meta(minute, 1), patient_id=survivor, merged_patient_id=alias)

    def unmerged(self, minute: int) -> Any:
        survivor, alias = (to_wire("patient", id) for id in self.ids)
        return events.PatientUnmerged(meta=self.meta(minute, 2), patient_id=survivor, merged_patient_id=alias)

    async def tell(self, *told: Any) -> None:
        for event in told:
            await self.office.svc.deliver(event)

    async def waiting(self) -> list[UUID]:
        """Under which records something is still to go out: each once for each message."""
        rows = await self.office.rows(KIND)
        return [row["patient_id"] for row in rows if row["status"] == "SCHEDULED"]

    def _ended(self, minute: int, number: int, record: int) -> dict[str, Any]:
        return {
            "meta": self.meta(minute),
            "patient_id": to_wire("patient", self.ids[record]),
            "consent_document_id": to_wire("consentdocument", self.document_id),
            "version_number": number,
        }

    async def asked(self) -> list[str]:
        """Versions that the person is still asked for."""
        found = await self.office.svc.admin.fetch(
            "SELECT matter.about FROM message JOIN matter ON matter.id = matter_id"
            " WHERE message.kind = $1 AND status = 'SCHEDULED' AND closed_at IS NULL AND matter.patient_id = ANY($2)",
            KIND,
            list(self.ids),
        )
        return [row["about"] for row in found]


STORIES: dict[str, tuple[Callable[[Person], list[Any]], list[int]]] = {
    "is asked once": (lambda of: [of.booked(1), of.outdated(2, 2), of.booked(3)], [2]),
    "signs": (lambda of: [of.booked(1), of.outdated(2, 2), of.signed(3, 2)], []),
    "signs, and is asked for the next": (
        lambda of: [of.booked(1), of.outdated(2, 2), of.signed(3, 2), of.outdated(4, 3)],
        [3],
    ),
    "signed an earlier one": (lambda of: [of.signed(1, 1), of.booked(2), of.outdated(3, 2)], [2]),
    "is asked for two, one after the other": (lambda of: [of.outdated(1, 2), of.booked(2), of.outdated(3, 3)], [3]),
    "takes back what is outdated": (lambda of: [of.booked(1), of.outdated(2, 2), of.withdrawn(3, 1)], []),
    "took it back and signed again": (
        lambda of: [of.booked(1), of.withdrawn(2, 1), of.signed(3, 1), of.outdated(4, 2)],
        [2],
    ),
    "signed an earlier one on paper": (lambda of: [of.booked(1), of.outdated(2, 3), of.signed(3, 2)], []),
    "signs, is asked for the next, takes back": (
        lambda of: [of.booked(1), of.signed(2, 2), of.outdated(3, 3), of.withdrawn(4, 2)],
        [],
    ),
    "is asked for what is retired": (
        lambda of: [of.outdated(1, 2), of.booked(2), of.outdated(3, 3), of.retired(4)],
        [],
    ),
    "signed under the other record": (
        lambda of: [of.booked(1), of.signed(2, 2, 1), of.outdated(3, 2), of.merged(4)],
        [],
    ),
    "is asked under both records": (
        lambda of: [of.booked(1), of.outdated(2, 2), of.outdated(3, 2, 1), of.merged(4)],
        [2],
    ),
    "is asked under one and comes under the other": (
        lambda of: [of.booked(1, 1), of.outdated(2, 2), of.merged(3)],
        [2],
    ),
}


@pytest.mark.parametrize("story", STORIES)
async def test_in_whatever_order_they_are_heard_events_of_a_patient_ask_for_the_same(
    office: Office, story: str
) -> None:
    tell, numbers = STORIES[story]
    for order in permutations(range(len(tell(Person(office))))):
        person = Person(office)
        await person.register()
        told = tell(person)
        for event in (told[n] for n in order):
            await office.svc.deliver(event)
        version_of = {
            event.consent_document_version_id: event.version_number
            for event in told
            if isinstance(event, events.ConsentOutdated)
        }
        assert [version_of[about] for about in await person.asked()] == numbers, order


def reachable(of: Person) -> None:
    for patient_id in of.ids:
        details = of.office.patients.details[to_wire("patient", patient_id)]
        details.contact_points.add(system=CONTACT_SYSTEM_EMAIL, value="one@example.org")


async def test_what_is_signed_stays_signed_since_then(office: Office) -> None:
    await office.book()
    event = outdated(office, new_id())
    await office.svc.deliver(event)
    await office.svc.deliver(events.ConsentSigned(**signed(event)))
    office.svc.clock.now = NOW + timedelta(hours=1)
    await office.book(FIRST + timedelta(days=7))
    assert await office.svc.admin.fetchval("SELECT closed_at FROM matter") == NOW


async def test_what_was_told_is_not_told_again_under_another_rule(office: Office) -> None:
    await office.book()
    await office.svc.deliver(outdated(office, new_id()))
    stub = office.svc.stub(CadenceServiceStub)
    cadence = (await office.svc.call(stub.GetCadence, cadence_pb.GetCadenceRequest())).cadence
    for rule in cadence.rules:
        rule.code = f"our_{rule.code}"
    request = cadence_pb.UpdateCadenceRequest(request_id=str(uuid4()), rules=cadence.rules, etag=cadence.etag)
    await office.svc.call(stub.UpdateCadence, request)
    await office.book(FIRST + timedelta(days=7))
    assert await told(office) == [("SCHEDULED", None)]


async def test_what_was_sent_under_one_record_is_not_told_under_the_other(office: Office) -> None:
    person = Person(office)
    await person.register()
    for event in (person.booked(1), person.outdated(2, 2)):
        await office.svc.deliver(event)
    reachable(person)
    await office.sender().drain()
    for event in (person.outdated(3, 2, 1), person.merged(4), person.booked(5, 1)):
        await office.svc.deliver(event)
    assert await told(office) == [("SENT", None)]


@pytest.mark.parametrize("record", [0, 1])
async def test_what_another_signed_is_asked_for_again_once_they_are_two(office: Office, record: int) -> None:
    of = Person(office)
    await of.register()
    await of.tell(of.booked(1, record), of.outdated(2, 2, record), of.merged(3), of.signed(4, 2, 1 - record))
    assert await of.asked() == []
    await of.tell(of.unmerged(5), of.booked(6, record))
    assert len(await of.asked()) == 1
    assert await of.waiting() == [of.ids[record]]
    await of.tell(of.signed(7, 2, record))
    assert await of.waiting() == []


@pytest.mark.parametrize("record", [0, 1])
async def test_what_was_not_told_for_another_s_signature_is_once_they_are_two(office: Office, record: int) -> None:
    of = Person(office)
    await of.register()
    await of.tell(of.merged(1), of.signed(2, 2, 1 - record), of.booked(3, record), of.outdated(4, 2, record))
    assert await told(office) == []
    await of.tell(of.unmerged(5))
    assert await of.waiting() == [of.ids[record]]


async def test_two_who_were_told_as_one_are_each_told_once_they_are_two(office: Office) -> None:
    of = Person(office)
    await of.register()
    for record in (0, 1):
        await of.tell(of.booked(1, record), of.outdated(2 + record, 2, record))
    await of.tell(of.merged(4))
    assert await of.waiting() == [of.ids[0]]
    await of.tell(of.unmerged(5))
    assert sorted(await of.waiting()) == sorted(of.ids)


async def test_what_was_told_as_of_the_survivor_is_told_again_as_of_whom_it_asks(office: Office) -> None:
    of = Person(office)
    await of.register()
    await of.tell(of.booked(1, 1), of.merged(2), of.outdated(3, 2, 1))
    assert await of.waiting() == [of.ids[0]]
    await of.tell(of.signed(4, 2), of.unmerged(5))
    assert await of.waiting() == [of.ids[1]]


async def test_whoever_has_no_visit_to_come_is_told_again_with_the_next(office: Office) -> None:
    of = Person(office)
    await of.register()
    booked = of.booked(1)
    await of.tell(booked, of.outdated(2, 2), of.merged(3), of.signed(4, 2, 1))
    await of.tell(office.cancelled(booked), of.unmerged(5))
    assert await of.waiting() == []
    await of.tell(of.booked(6))
    assert await of.waiting() == [of.ids[0]]


async def test_what_was_sent_is_not_sent_again_once_they_are_two(office: Office) -> None:
    of = Person(office)
    await of.register()
    reachable(of)
    await of.tell(of.booked(1), of.outdated(2, 2))
    await office.sender().drain()
    await of.tell(of.merged(3), of.signed(4, 2, 1), of.unmerged(5))
    assert await told(office) == [("SENT", None)]
    assert await office.svc.admin.fetchval("SELECT closed_at FROM matter") is None


@pytest.mark.parametrize("minutes", [(2, 3), (3, 2)])
async def test_of_two_who_were_told_whoever_was_sent_word_hears_no_more(
    office: Office, minutes: tuple[int, int]
) -> None:
    of = Person(office)
    await of.register()
    reachable(of)
    await of.tell(of.booked(1), of.outdated(minutes[0], 2))
    await office.sender().drain()
    await of.tell(of.booked(1, 1), of.outdated(minutes[1], 2, 1), of.merged(4))
    assert sorted(await told(office), key=str) == [("SENT", None), ("WITHDRAWN", "MATTER_CLOSED")]


async def test_what_one_was_told_waits_on_though_the_other_was_asked_before(office: Office) -> None:
    of = Person(office)
    await of.register()
    await of.tell(of.booked(1), of.outdated(3, 2), of.outdated(2, 2, 1), of.merged(4))
    assert await told(office) == [("SCHEDULED", None)]
    assert await of.waiting() == [of.ids[0]]


@pytest.mark.parametrize("booked_last", [False, True])
async def test_what_ended_for_one_is_asked_for_since_then_of_the_other(office: Office, booked_last: bool) -> None:
    of = Person(office)
    await of.register()
    events = [of.outdated(2, 3), of.signed(3, 2), of.outdated(4, 3, 1), of.merged(5)]
    events.insert(len(events) if booked_last else 0, of.booked(1))
    await of.tell(*events)
    assert await of.waiting() == [of.ids[0]]
    assert len(await of.asked()) == 1


@pytest.mark.parametrize(("ending", "asked_for"), [(False, 1), (True, 0)])
async def test_a_booking_and_a_document_that_are_heard_of_at_once_see_one_another(
    office: Office, monkeypatch: pytest.MonkeyPatch, ending: bool, asked_for: int
) -> None:
    """Whoever reads what is asked gives the other time to."""
    person = Person(office)
    await person.register()
    asked = person.outdated(1, 2)
    if ending:
        await office.svc.deliver(asked)
    read, both, seen = NotificationsStore.renewals, asyncio.Event(), list[Any]()

    async def slowly(store: NotificationsStore, patient_id: UUID) -> Any:
        found = await read(store, patient_id)
        seen.append(found)
        if len(seen) == 2:
            both.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(both.wait(), 0.5)
        return found

    monkeypatch.setattr(NotificationsStore, "renewals", slowly)
    other = person.signed(3, 2) if ending else asked
    await asyncio.gather(office.svc.deliver(person.booked(2)), office.svc.deliver(other))
    assert len(await person.asked()) == asked_for


@pytest.mark.parametrize("read_before", [1, 2])
async def test_a_booking_and_the_end_of_a_document_that_are_heard_of_at_once_ask_for_nothing(
    office: Office, monkeypatch: pytest.MonkeyPatch, read_before: int
) -> None:
    """The document ends when the booking has read for the first time, or for the last."""
    of = Person(office)
    await of.register()
    await of.tell(of.outdated(1, 2))
    read, reading, ended, reads = NotificationsStore.renewals, asyncio.Event(), asyncio.Event(), count(1)

    async def slowly(store: NotificationsStore, patient_id: UUID) -> Any:
        found = await read(store, patient_id)
        if next(reads) == read_before:
            reading.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), 0.5)
        return found

    async def end() -> None:
        await reading.wait()
        await of.tell(of.retired(3))
        ended.set()

    monkeypatch.setattr(NotificationsStore, "renewals", slowly)
    await asyncio.wait_for(asyncio.gather(of.tell(of.booked(2)), end()), 10)
    assert await of.asked() == []


async def test_what_was_told_before_the_migration_is_known_as_told(postgres_url: str) -> None:
    """In each of two chains one was told, and more than go into one batch were not."""
    urls = await provision(
        postgres_url, "notifications", database=f"told_{uuid4().hex[:12]}", password=password_of(postgres_url)
    )
    admin = await asyncpg.connect(as_administrator(postgres_url, urls))
    await migrate(urls.owner, "notifications", "0017")
    await admin.execute("SET session_replication_role = replica")  # Without foreign keys.
    told = [Renewal(new_id(), new_id(), new_id(), 2, (), NOW) for _ in range(2)]
    untold = [Renewal(new_id(), new_id(), new_id(), 2, (), NOW) for _ in range(1_000)]
    chains = {each.patient_id: new_id() for each in told}
    await admin.executemany(
        "INSERT INTO renewal (chain_id, patient_id, document_id, version_id, number, site_ids)"
        " VALUES ($1, $2, $3, $4, $5, '{}')",
        [
            (chain_id, each.patient_id, each.document_id, each.version_id, each.number)
            for chain_id, each in [
                *((chains[each.patient_id], each) for each in told),
                *((chain_id, each) for chain_id in chains.values() for each in untold),
            ]
        ],
    )
    await admin.executemany(
        "INSERT INTO matter (chain_id, id, site_id, patient_id, kind) VALUES ($1, $2, $3, $4, 'CONSENT')",
        [(chains[each.patient_id], each.matter_id, new_id(), each.patient_id) for each in told],
    )
    await migrate(urls.owner, "notifications", "0018")
    found = await admin.fetch("SELECT patient_id, matter_id FROM renewal WHERE matter_id IS NOT NULL")
    forced = await admin.fetchval(
        "SELECT bool_and(relforcerowsecurity) FROM pg_class WHERE relname IN ('renewal', 'matter')"
    )
    await admin.close()
    await drop(postgres_url, urls)
    assert {row["patient_id"]: row["matter_id"] for row in found} == {each.patient_id: each.matter_id for each in told}
    assert forced is True
