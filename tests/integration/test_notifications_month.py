"""A month of a chain of five sites over the change of clocks, beside a slow and obvious model: every message by the
rule, the channel and the hour that the model says, and for each that was not sent its reason."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from atoll.notifications.v1 import cadence_service_pb2 as pb
from atoll.notifications.v1 import message_pb2
from atoll.notifications.v1.cadence_service_pb2_grpc import CadenceServiceStub
from atoll.patients.v1 import patient_pb2, permission_pb2
from atoll.scheduling.v1.events_pb2 import (
    BookedVisit,
    CourseBooked,
    ProtocolVersionPublished,
    VisitCancelled,
    VisitConfirmed,
)
from atoll.scheduling.v1.protocol_pb2 import Instruction, ProtocolTemplate
from chassis.ids import new_id, to_wire
from chassis.times import to_timestamp
from services.notifications.domain.texting import Method, SuppressionKind
from services.notifications.settings import MESSAGE_KEYS
from services.notifications.store import NotificationsStore
from services.notifications.texting import Texting, TextingAccount
from services.notifications.texting.keys import address_key
from tests.support.notifications import Office, open_office
from tests.support.notifications_month import DIGEST, Month, Patient, Reach, Saying, Visit, is_quiet, wall
from tests.support.texting import write_message_keys
from tests.support.twilio import ACCOUNT_SID, TOKEN, FakeTwilio, fake_twilio

BEGINS, DAYS = datetime(2027, 2, 25, 15, tzinfo=UTC), 31
ZONES = [ZoneInfo(f"America/{name}") for name in ("New_York", "Chicago", "Denver", "Phoenix", "Los_Angeles")]
OURS = "+15055550100"
DAY = timedelta(days=1)
SAYINGS = [
    Saying("confirm", "VISIT_CONFIRMATION", after_booking=True, minutes=0, by_text_first=False),
    Saying("week", "VISIT_REMINDER", False, 7 * 24 * 60, by_text_first=False, late_is_skipped=True),
    Saying("prepare", "VISIT_PREPARATION", False, 72 * 60, by_text_first=True, comes_first=True),
    Saying("two_days", "VISIT_REMINDER", False, 48 * 60, by_text_first=True),
    Saying("soon", "VISIT_REMINDER", False, 120, by_text_first=True, late_is_skipped=True, unless_confirmed=True),
]


@pytest.fixture(autouse=True)
def keys_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_message_keys(tmp_path / "message-keys.json")
    monkeypatch.setenv(MESSAGE_KEYS, str(tmp_path / "message-keys.json"))


@dataclass
class Chain:
    office: Office
    twilio: FakeTwilio
    sites: list[UUID]
    dice: random.Random
    version_id: str = field(default_factory=lambda: to_wire("protocolversion", new_id()))

    async def open(self) -> None:
        for site_id in self.sites[1:]:
            await self.office.svc.deliver(self.office.site_registered(site_id))
        fasting = ProtocolTemplate(instructions=[Instruction(code="fasting", display_name="No food", hours_before=6)])
        version: dict[str, Any] = {"protocol_version_id": self.version_id, "protocol_id": to_wire("protocol", new_id())}
        await self.office.svc.deliver(ProtocolVersionPublished(template=fasting, **version))
        stub = self.office.svc.stub(CadenceServiceStub)
        rules = [rule(saying) for saying in SAYINGS]
        request = pb.UpdateCadenceRequest(request_id=str(uuid4()), rules=rules, etag='"0"')
        await self.office.svc.call(stub.UpdateCadence, request)
        told = await self.office.svc.call(stub.GetSendingPolicy, pb.GetSendingPolicyRequest())
        told.sending_policy.digest_time.hours = DIGEST
        policy = pb.UpdateSendingPolicyRequest(request_id=str(uuid4()), sending_policy=told.sending_policy)
        await self.office.svc.call(stub.UpdateSendingPolicy, policy)

    async def patient(self, number: int) -> Patient:
        made = Patient(
            new_id(),
            ZONES[number % len(ZONES)],
            Reach(has_phone=self.dice.random() < 0.8, has_email=self.dice.random() < 0.8),
            permits_texts=self.dice.random() < 0.5,
        )
        if self.dice.random() < 0.25:
            birthday = (BEGINS + timedelta(days=self.dice.randrange(2, DAYS))).astimezone(made.zone).date()
            made.of_age_at = wall(birthday, 0, made.zone)
            if self.dice.random() < 0.7:
                made.guarantor = Reach(has_phone=self.dice.random() < 0.8, has_email=True)
        emails = [f"p{number}@example.org"] if made.own.has_email else []
        await self.office.register(made.id, *emails, zone=made.zone.key)
        self._tell(made, number)
        return made

    def _tell(self, made: Patient, number: int) -> None:
        """What patients knows of them."""
        details = self.office.patients.details[to_wire("patient", made.id)]
        if made.own.has_phone:
            details.contact_points.add(system=patient_pb2.CONTACT_SYSTEM_PHONE, value=phone(number))
        if made.permits_texts:
            sms, visits = permission_pb2.MESSAGE_CHANNEL_SMS, permission_pb2.MESSAGE_PURPOSE_APPOINTMENT
            details.permissions.add(channel=sms, purpose=visits, permitted=True)
        if made.guarantor:
            details.related_persons.add(
                role=patient_pb2.RELATED_PERSON_ROLE_GUARANTOR,
                email=f"g{number}@example.org",
                phone=guarantors_phone(number) if made.guarantor.has_phone else "",
            )
        details.minor = made.of_age_at is not None

    def visit(self, patient: Patient) -> Visit:
        """Booked some time in the month, at any hour; some are cancelled or confirmed later."""
        booked = BEGINS + timedelta(minutes=self.dice.randrange((DAYS - 12) * 24 * 60))
        start = booked + timedelta(minutes=15 * self.dice.randrange(4, 12 * 24 * 4))
        visit = Visit(new_id(), patient, booked, start, self.dice.choice(self.sites))
        between = booked + (start - booked) * self.dice.uniform(0.1, 0.95)
        match self.dice.random():
            case share if share < 0.15:
                visit.cancelled_at = between
            case share if share < 0.45:
                visit.confirmed_at = between
        return visit

    def happenings(self, visits: list[Visit], patients: list[Patient]) -> list[tuple[datetime, str, Any]]:
        found: list[tuple[datetime, str, Any]] = [(each.booked_at, "book", each) for each in visits]
        found += [(each.cancelled_at, "cancel", each) for each in visits if each.cancelled_at]
        found += [(each.confirmed_at, "confirm", each) for each in visits if each.confirmed_at]
        found += [(each.own.opted_out_at, "opt_out", each) for each in patients if each.own.opted_out_at]
        found += [(each.of_age_at, "birthday", each) for each in patients if each.of_age_at]
        return sorted(found, key=lambda each: each[0])

    async def happen(self, what: str, about: Any, number: int) -> None:
        svc = self.office.svc
        if what == "birthday":
            self.office.patients.details[to_wire("patient", about.id)].minor = False
            return
        if what == "opt_out":
            key = address_key(svc.chain_id, phone(number))
            await svc.db.job(
                svc.inside("reply"),
                NotificationsStore,
                lambda store: store.suppress("SMS", key, SuppressionKind.OPT_OUT, Method.REPLY, senders=(OURS,)),
            )
            return
        ids: dict[str, Any] = {
            "visit_id": to_wire("visit", about.id),
            "patient_id": to_wire("patient", about.patient.id),
        }
        ids["site_id"] = to_wire("site", about.site)
        if what == "cancel":
            await svc.deliver(VisitCancelled(**ids))
        elif what == "confirm":
            await svc.deliver(VisitConfirmed(**ids))
        else:
            booked = BookedVisit(visit_id=ids["visit_id"], start_time=to_timestamp(about.start))
            booked.visit_type_code = "infusion"
            course = CourseBooked(site_id=ids["site_id"], patient_id=ids["patient_id"], visits=[booked])
            course.protocol_version_id, course.protocol_id = self.version_id, to_wire("protocol", new_id())
            await svc.deliver(course)

    async def drain(self) -> None:
        """One after another, in the order in which they are due."""
        while found := await self.office.sender().take(1):
            [(chain_id, taken)] = found
            await self.office.sender().see_to(chain_id, taken)

    async def pass_until(self, until: datetime) -> None:
        """From one message that is due to the next."""
        while (due := await self._next_due()) is not None and due < until:
            self.office.svc.clock.now = max(due, self.office.svc.clock.now)
            await self.drain()
        self.office.svc.clock.now = until

    async def _next_due(self) -> datetime | None:
        query = "SELECT min(due_at) FROM message WHERE status = 'SCHEDULED'"
        return await self.office.svc.admin.fetchval(query)  # type: ignore[no-any-return]


def phone(number: int) -> str:
    return f"+1505555{number:04}"


def guarantors_phone(number: int) -> str:
    return f"+1505556{number:04}"


def rule(saying: Saying) -> pb.CadenceRule:
    sms, email = message_pb2.CHANNEL_SMS, message_pb2.CHANNEL_EMAIL
    return pb.CadenceRule(
        code=saying.code,
        kind=message_pb2.MessageKind.Value(f"MESSAGE_KIND_{saying.kind}"),
        anchor=pb.CADENCE_ANCHOR_BOOKED if saying.after_booking else pb.CADENCE_ANCHOR_START,
        offset_minutes=saying.minutes if saying.after_booking else -saying.minutes,
        channels=[sms, email] if saying.by_text_first else [email],
        late=pb.LATE_MESSAGE_SKIP if saying.late_is_skipped else pb.LATE_MESSAGE_SEND,
        unless_confirmed=saying.unless_confirmed,
    )


@pytest_asyncio.fixture
async def chain(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Chain]:
    async with fake_twilio() as twilio, open_office(postgres_url, issuer_folder) as office:
        office.svc.clock.now = BEGINS
        sites = [office.site_id, *(new_id() for _ in range(4))]
        account = TextingAccount(
            chain_id=to_wire("chain", office.svc.chain_id),
            account_sid=ACCOUNT_SID,
            auth_tokens=(TOKEN,),
            sites={to_wire("site", site): {"sender": OURS} for site in sites},
            webhook_url="https://hooks.example.org",
            api_url=twilio.url,
            per_second=1000,
            account_per_second=10_000,
        )
        office.texting = Texting({"main": account})
        yield Chain(office, twilio, sites, random.Random(0))  # noqa: S311  # Dice.
        await office.texting.close()


@pytest.mark.parametrize(
    ("seed", "patients", "visits"),
    [(1, 5, 9), *(pytest.param(seed, 40, 250, marks=pytest.mark.long) for seed in range(2, 5))],
)
async def test_each_message_of_a_month_is_as_the_model_says(
    chain: Chain, seed: int, patients: int, visits: int
) -> None:
    chain.dice = random.Random(seed)  # noqa: S311
    await chain.open()
    people = [await chain.patient(number) for number in range(patients)]
    for person in people[:: max(patients // 5, 1)]:
        person.own.opted_out_at = BEGINS + timedelta(days=chain.dice.randrange(3, 25), minutes=7)
    booked = [chain.visit(chain.dice.choice(people)) for _ in range(visits)]
    for at, what, about in chain.happenings(booked, people):
        await chain.pass_until(at)
        await chain.happen(what, about, people.index(about) if what == "opt_out" else 0)
        await chain.drain()
    await chain.pass_until(BEGINS + (DAYS + 12) * DAY)
    month = Month(SAYINGS, booked)
    assert await ends(chain) == {(each.visit.id, each.saying.code): each.end for each in month.messages}
    assert len(chain.office.mailbox.arrived) == month.letters
    assert_nobody_was_bothered(chain, people)
    told = Counter(end[1] for end in (each.end for each in month.messages))
    assert min(told["SENT"], told["SUPPRESSED"]) > 0


async def ends(chain: Chain) -> dict[tuple[UUID, str], tuple[str, str, str | None, datetime | None]]:
    rows = await chain.office.svc.admin.fetch("SELECT * FROM message WHERE anchor IN ('BOOKED', 'START')")
    return {
        (row["visit_id"], row["rule"]): (
            row["channel"] if row["status"] == "SENT" else "",
            row["status"],
            row["reason"],
            row["sent_at"],
        )
        for row in rows
    }


def assert_nobody_was_bothered(chain: Chain, people: list[Patient]) -> None:
    """By no text at night, nor after an opt-out, nor beyond a cap; each text that the model counted is there."""
    by_phone = Counter(text["To"] for text in chain.twilio.texts)
    for number, person in enumerate(people):
        for reach, to in ((person.own, phone(number)), (person.guarantor, guarantors_phone(number))):
            texted = reach.texted if reach else []
            assert by_phone[to] == len(texted)
            for at in texted:
                assert not is_quiet(at, person.zone)
                assert not (reach and reach.opted_out_at and reach.opted_out_at <= at)
                assert (reach is person.guarantor) == bool(person.of_age_at and at < person.of_age_at)
            days = Counter(at.astimezone(person.zone).date() for at in texted)
            assert max(days.values(), default=0) <= (2 if person.permits_texts else 1)
