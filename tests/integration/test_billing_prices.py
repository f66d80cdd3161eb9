"""Price books through the gRPC door."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from google.type.money_pb2 import Money
from grpc import StatusCode

from atoll.billing.v1 import price_book_service_pb2 as pb
from chassis import money
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_date
from services.billing.use_cases import prices
from tests.support.billing import TODAY, Billing, dollars, open_billing, open_chain, usd
from tests.support.service import NOW, Running, refusal

DAY = timedelta(days=1)


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> Billing:
    return await open_chain(service)


async def explain(
    billing: Billing, route_code: str = "iv", band_code: str = "up_to_60", day: date | None = None, **changes: Any
) -> pb.ExplainPriceResponse:
    fields: dict[str, Any] = {"site_id": billing.site_id, "visit_type_code": "infusion"} | changes
    request = pb.ExplainPriceRequest(route_code=route_code, band_code=band_code, **fields)
    if day:
        request.date.CopyFrom(to_date(day))
    return await billing.svc.call(billing.price_books.ExplainPrice, request)  # type: ignore[no-any-return]


async def listed(billing: Billing, token: str | None = None) -> list[pb.PriceBook]:
    request = pb.ListPriceBooksRequest(site_id=billing.site_id)
    return list((await billing.svc.call(billing.price_books.ListPriceBooks, request, token)).price_books)


async def test_a_draft_is_read_back_with_its_items_in_order(billing: Billing) -> None:
    draft = await billing.draft(
        [("therapy", "", "", 200, "Therapy hour"), ("infusion", "iv", "", 590.5, "IV infusion")]
    )
    request = pb.GetPriceBookRequest(price_book_id=draft.id)
    assert (await billing.svc.call(billing.price_books.GetPriceBook, request)).price_book == draft
    assert [(item.visit_type_code, item.route_code, dollars(item.unit_price)) for item in draft.items] == [
        ("infusion", "iv", 590.5),
        ("therapy", "", 200),
    ]
    assert (draft.version, draft.HasField("publish_time"), dollars(draft.deposit)) == (0, False, 150)
    assert await billing.fact_names() == []


async def test_versions_count_what_a_site_published_and_say_so(billing: Billing) -> None:
    unused = await billing.draft(effective=TODAY - DAY)
    first = await billing.price()
    second = await billing.price(effective=TODAY + DAY)
    elsewhere = await billing.price(site_id=await billing.register_site())
    assert [first.version, second.version, elsewhere.version] == [1, 2, 1]
    assert first.publish_time.ToDatetime() == NOW.replace(tzinfo=None)
    assert await billing.fact_names() == ["price_book.published"] * 3
    assert [book.id for book in await listed(billing)] == [second.id, first.id, unused.id]


async def test_the_list_comes_in_pages(billing: Billing) -> None:
    drafts = [await billing.draft(effective=TODAY + (n // 2) * DAY) for n in range(5)]
    seen, token = list[str](), ""
    for _ in range(3):
        request = pb.ListPriceBooksRequest(site_id=billing.site_id, page_size=2, page_token=token)
        page = await billing.svc.call(billing.price_books.ListPriceBooks, request)
        seen += [book.id for book in page.price_books]
        token = page.next_page_token
    assert seen == [drafts[n].id for n in (4, 3, 2, 1, 0)]
    assert token == ""


async def test_a_price_book_is_published_once(billing: Billing) -> None:
    book = await billing.price()
    refused = await refusal(billing.publish(book))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PRICE_BOOK_PUBLISHED")
    assert refused.metadata == {"version": "1"}
    assert await billing.fact_names() == ["price_book.published"]


async def test_a_publication_that_is_sent_again_is_answered_again(billing: Billing) -> None:
    draft = await billing.draft()
    request = pb.PublishPriceBookRequest(request_id=str(uuid4()), price_book_id=draft.id)
    answers = [await billing.svc.call(billing.price_books.PublishPriceBook, request) for _ in range(2)]
    assert answers[0] == answers[1]
    assert await billing.fact_names() == ["price_book.published"]


@pytest.mark.parametrize("days", [0, -1])
async def test_a_price_book_takes_effect_after_those_published_before(billing: Billing, days: int) -> None:
    await billing.price()
    refused = await refusal(billing.publish(await billing.draft(effective=TODAY + days * DAY)))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "EFFECTIVE_DATE_TOO_EARLY")
    assert refused.metadata == {"version": "1", "effective_date": "2027-03-01"}
    assert await billing.count("publication") == 1


async def test_two_items_for_the_same_visits_are_refused(billing: Billing) -> None:
    items = [("infusion", "iv", "", 500, "One"), ("infusion", "", "", 450, "Any"), ("infusion", "iv", "", 590, "Two")]
    refused = await refusal(billing.draft(items))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "PRICE_ITEM_REPEATED")
    assert refused.faults == [("items[2]", "PRICE_ITEM_REPEATED")]
    assert await billing.count("price_book") == 0


async def test_a_negative_or_huge_price_is_refused(billing: Billing) -> None:
    items = [
        ("infusion", "", "", -1, "Negative"),
        ("therapy", "", "", 1_000_000.01, "Huge"),
        ("talk", "", "", 0, "Free"),
    ]
    refused = await refusal(billing.draft(items))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "AMOUNT_OUT_OF_RANGE")
    assert [field for field, _ in refused.faults] == ["items[0].unit_price", "items[1].unit_price"]


async def test_one_price_book_has_one_currency(billing: Billing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(money.MINOR_DIGITS, "CAD", 2)
    refused = await refusal(billing.draft(deposit=0, currency_code="CAD"))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "CURRENCY_MISMATCH")
    assert [field for field, _ in refused.faults] == [
        "deposit",
        "items[0].unit_price",
        "items[1].unit_price",
        "items[2].unit_price",
    ]


async def test_a_site_keeps_the_currency_of_its_prices(billing: Billing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(money.MINOR_DIGITS, "CAD", 2)
    await billing.price()
    canadian = billing.price_book_request([], effective=TODAY + DAY, currency_code="CAD")
    canadian.deposit.CopyFrom(Money(currency_code="CAD"))
    price = Money(currency_code="CAD", units=1)
    canadian.items.add(visit_type_code="infusion", unit_price=price, description="IV infusion")
    draft = (await billing.svc.call(billing.price_books.CreatePriceBook, canadian)).price_book
    refused = await refusal(billing.publish(draft))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "CURRENCY_MISMATCH")


async def test_fields_that_break_their_rules_are_named(billing: Billing) -> None:
    request = billing.price_book_request([("Infusion!", "", "", 1, "")], currency_code="dollars")
    refused = await refusal(billing.svc.call(billing.price_books.CreatePriceBook, request))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
    assert [field for field, _ in refused.faults] == [
        "currency_code",
        "items[0].visit_type_code",
        "items[0].description",
    ]


async def test_fractions_of_a_cent_are_refused(billing: Billing) -> None:
    request = billing.price_book_request()
    request.items[1].unit_price.CopyFrom(Money(currency_code="USD", units=1, nanos=5_000_000))
    refused = await refusal(billing.svc.call(billing.price_books.CreatePriceBook, request))
    assert (refused.reason, refused.faults) == ("BAD_REQUEST", [("items[1].unit_price.nanos", "money.minor_units")])


async def test_a_site_that_nobody_told_of_is_not_yet_known(billing: Billing) -> None:
    site_id = to_wire("site", new_id())
    for call in (billing.draft(site_id=site_id), explain(billing, site_id=site_id)):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "NOT_YET_KNOWN")
        assert (refused.metadata, refused.retry) == ({"waits_for": site_id}, True)


async def test_what_does_not_exist_is_not_found(billing: Billing) -> None:
    absent = pb.PriceBook(id=to_wire("pricebook", new_id()))
    read = billing.svc.call(billing.price_books.GetPriceBook, pb.GetPriceBookRequest(price_book_id=absent.id))
    for call in (read, billing.publish(absent)):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PRICE_BOOK_NOT_FOUND")


async def test_which_price_applies_and_why_is_one_call(billing: Billing) -> None:
    first = await billing.price()
    second = await billing.price([("infusion", "", "", 650, "Infusion")], effective=TODAY + 30 * DAY)
    short, long = await explain(billing), await explain(billing, band_code="over_60")
    assert (short.item.description, dollars(short.item.unit_price)) == ("IV infusion", 590)
    assert (short.price_book_id, short.version, short.effective_date) == (first.id, 1, to_date(TODAY))
    assert (long.item.id, dollars(long.item.unit_price)) == (first.items[2].id, 800)
    later = await explain(billing, day=TODAY + 30 * DAY)
    assert (later.price_book_id, later.version, dollars(later.item.unit_price)) == (second.id, 2, 650)
    assert (await explain(billing, day=TODAY + 29 * DAY)).version == 1


async def test_today_is_a_day_of_the_site(billing: Billing) -> None:
    """Five in the afternoon in Denver is the next day in UTC."""
    await billing.price()
    await billing.price(effective=TODAY + DAY)
    billing.svc.clock.now = NOW + timedelta(hours=14)
    assert (await explain(billing)).version == 1
    billing.svc.clock.now = NOW + timedelta(hours=15)
    assert (await explain(billing)).version == 2


async def test_a_price_that_is_missing_is_said_to_be(billing: Billing) -> None:
    assert (await refusal(explain(billing))).reason == "PRICE_MISSING"
    await billing.price()
    refused = await refusal(explain(billing, route_code="im"))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PRICE_MISSING")


async def test_roles_and_sites_are_kept(billing: Billing) -> None:
    draft = await billing.draft()
    elsewhere = await billing.register_site()
    desk, auditor = billing.at(billing.site_id, "ROLE_FRONT_DESK"), billing.at(billing.site_id, "ROLE_AUDITOR")
    for token in (desk, auditor):
        assert [book.id for book in await listed(billing, token)] == [draft.id]
        assert (await refusal(billing.publish(draft, token))).code == StatusCode.PERMISSION_DENIED
    other_site = billing.at(elsewhere)
    assert (await refusal(billing.publish(draft, other_site))).reason == "PRICE_BOOK_NOT_FOUND"
    assert (await refusal(listed(billing, other_site))).reason == "ACCESS_DENIED"
    other_chain = billing.svc.token(chain_id=new_id())
    assert (await refusal(billing.publish(draft, other_chain))).reason == "PRICE_BOOK_NOT_FOUND"
    assert await listed(billing, other_chain) == []
    assert (await billing.publish(draft, billing.at(billing.site_id))).version == 1


async def test_two_publications_at_once_get_two_versions(billing: Billing) -> None:
    """The second waits for the first, and then sees it."""
    drafts = [await billing.draft(effective=TODAY + n * DAY) for n in range(2)]
    ids = [from_wire("pricebook", draft.id) for draft in drafts]
    request = pb.PublishPriceBookRequest(request_id=str(uuid4()), price_book_id=drafts[0].id)
    async with billing.held_open(request, lambda store: prices.publish_price_book(store, ids[0])):
        second = asyncio.create_task(billing.publish(drafts[1]))
        await billing.someone_waits()
    assert (await second).version == 2


@pytest.mark.parametrize("table", ["price_book", "price_item"])
async def test_the_database_refuses_to_change_a_price_that_is_published(billing: Billing, table: str) -> None:
    await billing.price()
    for change in (f"UPDATE {table} SET site_id = site_id", f"DELETE FROM {table}"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
            await billing.execute(change)
        assert refused.value.constraint_name == "published_price_book_stays"


async def test_no_role_of_the_service_may_change_a_publication(billing: Billing) -> None:
    await billing.price()
    for change in ("UPDATE publication SET site_id = site_id", "DELETE FROM publication"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await billing.execute(change)


async def test_the_database_refuses_a_further_item_of_a_published_price_book(billing: Billing) -> None:
    drafted, book = await billing.draft(effective=TODAY + DAY), await billing.price()
    add = """
        INSERT INTO price_item (chain_id, id, site_id, price_book_id, visit_type_code, route_code, band_code,
            unit_price_minor, description)
        VALUES ($1, $2, $3, $4, 'therapy', '', '', 1, 'Slipped in')
    """
    ids = [
        (billing.svc.chain_id, new_id(), from_wire("site", each.site_id), from_wire("pricebook", each.id))
        for each in (drafted, book)
    ]
    await billing.execute(add, *ids[0])
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await billing.execute(add, *ids[1])
    assert refused.value.constraint_name == "published_price_book_stays"


async def test_the_deposit_is_not_negative(billing: Billing) -> None:
    refused = await refusal(billing.draft(deposit=-0.01))
    assert refused.faults == [("deposit", "AMOUNT_OUT_OF_RANGE")]
    assert dollars((await billing.draft(deposit=0)).deposit) == 0
    assert usd(0) == (await billing.draft(deposit=0)).deposit
