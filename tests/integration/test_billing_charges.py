"""Charges: one for each visit that took place, whatever comes twice, late or in another order."""

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from atoll.billing.v1 import account_service_pb2 as pb
from chassis.errors import NotYetKnown
from chassis.times import to_date, to_timestamp
from services.billing.use_cases import prices
from tests.support.billing import (
    ASSESSMENT,
    FIRST_VISIT,
    INFUSION,
    THERAPY,
    TODAY,
    Billing,
    BookedCourse,
    dollars,
    open_billing,
    open_chain,
)
from tests.support.service import NOW, Running

DAY = timedelta(days=1)


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> Billing:
    return await open_chain(service)


async def statuses(billing: Billing, course: BookedCourse) -> list[str]:
    visits = (await billing.course_account(course)).visits
    assert [visit.visit_id for visit in visits] == [visit.visit_id for visit in course.visits]
    return [pb.BillingStatus.Name(visit.status).removeprefix("BILLING_STATUS_") for visit in visits]


async def test_a_visit_that_took_place_is_charged_and_says_why(billing: Billing) -> None:
    book = await billing.price()
    course = await billing.book()
    event = billing.completed(course, 1)
    await billing.svc.deliver(event)

    [charge] = (await billing.course_account(course)).charges
    assert (charge.visit_id, charge.course_id) == (course.visits[1].visit_id, course.id)
    assert (charge.patient_id, charge.site_id) == (course.patient_id, course.site_id)
    assert (dollars(charge.amount), charge.description) == (590, "IV infusion")
    assert (charge.price_book_id, charge.price_book_version, charge.price_item_id) == (book.id, 1, book.items[1].id)
    assert charge.event_id == event.meta.event_id
    assert charge.service_date == to_date((FIRST_VISIT + 7 * DAY).date())
    assert await statuses(billing, course) == ["BOOKED", "CHARGED", "BOOKED"]
    posted = await billing.last_fact("charge.posted")
    assert (posted.charge_id, posted.visit_id, posted.course_id) == (charge.id, charge.visit_id, course.id)
    assert dollars(posted.amount) == 590
    assert await billing.trial_balance() == {"ACCOUNTS_RECEIVABLE": (590, 0), "REVENUE": (0, 590)}
    await billing.books_agree()


async def test_the_actual_band_sets_the_price_not_the_planned_one(billing: Billing) -> None:
    await billing.price()
    course = await billing.book()
    await billing.complete(course, 1, band_code="over_60")
    [charge] = (await billing.course_account(course)).charges
    assert (charge.band_code, dollars(charge.amount)) == ("over_60", 800)


async def test_the_day_of_service_is_the_sites(billing: Billing) -> None:
    await billing.price()
    course = await billing.book()
    late = to_timestamp(FIRST_VISIT.replace(hour=5))  # Eleven in the evening before, in Denver.
    await billing.complete(course, 1, start_time=late)
    [charge] = (await billing.course_account(course)).charges
    assert charge.service_date == to_date((FIRST_VISIT - DAY).date())


async def test_the_price_is_that_of_the_booking_though_prices_rose_since(billing: Billing) -> None:
    await billing.price()
    course = await billing.book()
    dearer_items = [("infusion", "", "", 999, "Dearer"), ("assessment", "", "", 999, "Dearer")]
    await billing.price(dearer_items, effective=TODAY + DAY)
    billing.svc.clock.now = NOW + 30 * DAY
    await billing.complete(course)
    account = await billing.course_account(course)
    assert [(dollars(charge.amount), charge.price_book_version) for charge in account.charges] == [
        (300, 1),
        (590, 1),
        (590, 1),
    ]
    assert (dollars(account.charged), dollars(account.estimated)) == (1480, 1480)
    dearer = await billing.book()
    await billing.complete(dearer, 0)
    assert dollars((await billing.course_account(dearer)).charged) == 999


async def test_a_visit_is_charged_once_however_often_it_is_told(billing: Billing) -> None:
    await billing.price()
    course = await billing.book()
    event = billing.completed(course, 1)
    await billing.svc.deliver(event)
    await billing.svc.deliver(event)
    await billing.svc.deliver(billing.completed(course, 1, band_code="over_60"))  # Another event id.
    assert dollars((await billing.course_account(course)).charged) == 590
    assert (await billing.fact_names()).count("charge.posted") == 1
    assert await billing.count("entry") == 1


async def test_a_visit_of_an_unknown_course_waits_for_it(billing: Billing) -> None:
    await billing.price()
    event = billing.course_event()
    course = BookedCourse(event.course_id, event.site_id, event.patient_id, event)
    visit = billing.completed(course, 0)
    for told in (billing.svc.deliver(visit), billing.cancel(course, 1), billing.miss(course, 2)):
        with pytest.raises(NotYetKnown) as waiting:
            await told
        assert waiting.value.waits_for == course.id
    assert await billing.count("rendered_visit") == 0
    await billing.svc.deliver(event)
    await billing.svc.deliver(visit)
    assert await statuses(billing, course) == ["CHARGED", "BOOKED", "BOOKED"]


async def test_visits_that_did_not_take_place_are_marked_and_not_charged(billing: Billing) -> None:
    await billing.price()
    course = await billing.book()
    await billing.cancel(course, 1)
    await billing.miss(course, 2)
    assert await statuses(billing, course) == ["BOOKED", "CANCELLED", "MISSED"]
    assert dollars((await billing.course_account(course)).charged) == 0


async def test_a_visit_that_took_place_after_all_is_charged(billing: Billing) -> None:
    await billing.price()
    course = await billing.book()
    await billing.miss(course, 1)
    await billing.complete(course, 1)
    assert await statuses(billing, course) == ["BOOKED", "CHARGED", "BOOKED"]


async def test_a_visit_without_a_price_waits_for_one(billing: Billing) -> None:
    course = await billing.book([ASSESSMENT, INFUSION, THERAPY])
    event = billing.completed(course, 1)
    await billing.svc.deliver(event)
    assert await statuses(billing, course) == ["BOOKED", "UNPRICED", "BOOKED"]
    assert await billing.fact_names() == []

    book = await billing.price()
    assert await statuses(billing, course) == ["BOOKED", "CHARGED", "BOOKED"]
    [charge] = (await billing.course_account(course)).charges
    assert (charge.price_book_id, charge.event_id) == (book.id, event.meta.event_id)

    await billing.complete(course, 2)
    assert await statuses(billing, course) == ["BOOKED", "CHARGED", "UNPRICED"]
    await billing.price([("therapy", "", "", 200, "Therapy hour")], effective=TODAY + DAY)
    charges = (await billing.course_account(course)).charges
    assert [(dollars(charge.amount), charge.price_book_version) for charge in charges] == [(590, 1), (200, 2)]
    assert (await billing.fact_names()).count("charge.posted") == 2
    await billing.books_agree()


async def test_one_publication_prices_so_much_those_first_that_wait_longest(
    billing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices, "WAITING_MAX", 1)
    early, late = await billing.book([INFUSION]), await billing.book([INFUSION], first=FIRST_VISIT + DAY)
    await billing.complete(late)
    await billing.complete(early)
    await billing.price()
    assert [await statuses(billing, course) for course in (early, late)] == [["CHARGED"], ["UNPRICED"]]
    assert [len(await billing.estimates_of(course)) for course in (early, late)] == [2, 1]
    await billing.price(effective=TODAY + DAY)
    assert await statuses(billing, late) == ["CHARGED"]
    assert [len(await billing.estimates_of(course)) for course in (early, late)] == [2, 2]


async def test_a_free_visit_is_charged_and_posts_nothing(billing: Billing) -> None:
    await billing.price([("therapy", "", "", 0, "Progress talk")])
    course = await billing.book([THERAPY])
    await billing.complete(course)
    assert await statuses(billing, course) == ["CHARGED"]
    assert await billing.count("charge") == 1
    assert await billing.count("entry") == 0


async def test_a_site_is_named_by_its_legal_entity_though_that_is_told_later(billing: Billing) -> None:
    """Facts of the same stream may come in any order."""
    await billing.price()
    course = await billing.book()
    await billing.complete(course, 0)
    await billing.register_legal_entity(billing.legal_entity_id)
    assert await billing.trial_balance() == {"ACCOUNTS_RECEIVABLE": (300, 0), "REVENUE": (0, 300)}


@pytest.mark.parametrize("seed", range(5))
async def test_told_in_any_order_and_more_than_once_it_comes_to_the_same(billing: Billing, seed: int) -> None:
    """Thrice, once as another event. What names something unknown is told again later, as the chassis would."""
    chance = random.Random(seed)  # noqa: S311
    events = list[Any]()
    courses = list[BookedCourse]()
    await billing.price()
    for _ in range(2):
        event = billing.course_event()
        courses.append(BookedCourse(event.course_id, event.site_id, event.patient_id, event))
        events += [event, *(billing.completed(courses[-1], n) for n in range(3))]
    waiting = [*events, *events, *(type(event).FromString(event.SerializeToString()) for event in events)]
    chance.shuffle(waiting)
    while waiting:
        told = waiting.pop(0)
        try:
            await billing.svc.deliver(told)
        except NotYetKnown:
            waiting.append(told)
    for course in courses:
        assert await statuses(billing, course) == ["CHARGED"] * 3
        assert dollars((await billing.course_account(course)).charged) == 1480
    assert sorted(await billing.fact_names()) == (
        ["charge.posted"] * 6 + ["estimate.issued"] * 2 + ["price_book.published"]
    )
    await billing.books_agree()
