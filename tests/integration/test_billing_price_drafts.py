"""Drafts of price books through the gRPC door: items of every kind, edited, copied, compared, thrown away; and what
tiers and the least charge make of estimates and charges."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.billing.v1 import price_book_service_pb2 as pb
from chassis import money
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_date
from services.billing.use_cases import prices
from tests.support.billing import ASSESSMENT, INFUSION, ITEMS, TODAY, Billing, dollars, open_billing, open_chain, usd
from tests.support.service import Running, refusal

DAY = timedelta(days=1)
Item = pb.CreatePriceBookRequest.Item
FeeAmount = pb.FeeTerms.FeeAmount


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> Billing:
    return await open_chain(service)


def visit(price: float = 590, *tiers: tuple[int, float], **changes: Any) -> Item:
    fields = {"visit_type_code": "infusion", "unit_price": usd(price), "description": "Infusion"} | changes
    return Item(tiers=[pb.PriceTier(from_number=number, unit_price=usd(each)) for number, each in tiers], **fields)


def product(code: str = "lozenges", **changes: Any) -> Item:
    fields = {"kind": pb.PRICE_ITEM_KIND_PRODUCT, "code": code, "unit_price": usd(75), "description": "Lozenges"}
    return Item(**fields | changes)


def add_on(code: str = "integration", **changes: Any) -> Item:
    fields: dict[str, Any] = {
        "kind": pb.PRICE_ITEM_KIND_ADD_ON,
        "code": code,
        "unit_price": usd(50),
        "description": "Integration",
    }
    return Item(**fields | {"visit_type_codes": ["infusion"]} | changes)


def late_fee(code: str = "late", **changes: Any) -> Item:
    """24 hours of notice, or the full price; 100 the first time; 50 up to 48 hours."""
    fee = pb.FeeTerms(
        kind=pb.FEE_KIND_LATE_CANCELLATION,
        hours=pb.NOTICE_HOURS_BUSINESS,
        grace_count=1,
        late_minutes=10,
        prepay_after_count=3,
        deposit_use=pb.DEPOSIT_USE_FEE_FIRST,
    )
    fee.tiers.add(notice_hours=24, amount=FeeAmount(basis_points=10000), first_amount=FeeAmount(fixed=usd(100)))
    fee.tiers.add(notice_hours=48, amount=FeeAmount(fixed=usd(50)))
    fields: dict[str, Any] = {"kind": pb.PRICE_ITEM_KIND_FEE, "code": code, "fee": fee, "description": "Late"}
    return Item(**fields | changes)


EVERY_KIND = [visit(590, (7, 450), (10, 400)), product(), add_on(), late_fee()]


async def draft(billing: Billing, *items: Item, **changes: Any) -> pb.PriceBook:
    request = billing.price_book_request([], **changes)
    request.items.extend(items or EVERY_KIND)
    return (await billing.svc.call(billing.price_books.CreatePriceBook, request)).price_book  # type: ignore[no-any-return]


async def get(billing: Billing, book: pb.PriceBook, token: str | None = None) -> pb.PriceBook:
    request = pb.GetPriceBookRequest(price_book_id=book.id)
    return (await billing.svc.call(billing.price_books.GetPriceBook, request, token)).price_book  # type: ignore[no-any-return]


def update_of(book: pb.PriceBook, *, etag: str | None = None, **fields: Any) -> pb.UpdatePriceBookRequest:
    request = pb.UpdatePriceBookRequest(
        request_id=str(uuid4()), price_book_id=book.id, etag=book.etag if etag is None else etag, **fields
    )
    request.update_mask.paths.extend(fields)
    return request


async def update(billing: Billing, book: pb.PriceBook, token: str | None = None, **fields: Any) -> pb.PriceBook:
    answer = await billing.svc.call(billing.price_books.UpdatePriceBook, update_of(book, **fields), token)
    return answer.price_book  # type: ignore[no-any-return]


async def delete(billing: Billing, book: pb.PriceBook, token: str | None = None, etag: str | None = None) -> None:
    request = pb.DeletePriceBookRequest(
        request_id=str(uuid4()), price_book_id=book.id, etag=book.etag if etag is None else etag
    )
    await billing.svc.call(billing.price_books.DeletePriceBook, request, token)


async def copy(
    billing: Billing,
    book: pb.PriceBook,
    token: str | None = None,
    *,
    site_id: str = "",
    percent: float = 0,
    **changes: Any,
) -> pb.PriceBook:
    fields = {
        "price_book_id": book.id,
        "site_id": site_id or billing.site_id,
        "effective_date": to_date(TODAY + DAY),
        "change_basis_points": round(percent * 100),
        "rounding": pb.ROUNDING_STEP_DOLLAR,
    }
    request = pb.CopyPriceBookRequest(request_id=str(uuid4()), **fields | changes)
    return (await billing.svc.call(billing.price_books.CopyPriceBook, request, token)).price_book  # type: ignore[no-any-return]


async def diff(
    billing: Billing, old: pb.PriceBook, new: pb.PriceBook, token: str | None = None
) -> pb.DiffPriceBooksResponse:
    request = pb.DiffPriceBooksRequest(old_price_book_id=old.id, new_price_book_id=new.id)
    return await billing.svc.call(billing.price_books.DiffPriceBooks, request, token)  # type: ignore[no-any-return]


async def explain(billing: Billing, ordinal: int = 0, **changes: Any) -> pb.ExplainPriceResponse:
    fields = {"site_id": billing.site_id, "visit_type_code": "infusion", "route_code": "iv", "band_code": "up_to_60"}
    request = pb.ExplainPriceRequest(ordinal=ordinal, **fields | changes)
    return await billing.svc.call(billing.price_books.ExplainPrice, request)  # type: ignore[no-any-return]


async def test_items_of_every_kind_are_read_back_as_they_were_told(billing: Billing) -> None:
    book = await draft(billing, minimum_charge=usd(100))
    assert await get(billing, book) == book
    first, extra, lozenges, late = book.items  # In the order of their kinds.
    assert [(tier.from_number, dollars(tier.unit_price)) for tier in first.tiers] == [(7, 450), (10, 400)]
    assert (first.kind, first.code, first.visit_type_code) == (pb.PRICE_ITEM_KIND_VISIT, "", "infusion")
    assert (extra.code, list(extra.visit_type_codes), dollars(extra.unit_price)) == ("integration", ["infusion"], 50)
    assert (lozenges.code, lozenges.kind) == ("lozenges", pb.PRICE_ITEM_KIND_PRODUCT)
    assert (late.code, late.fee, late.HasField("unit_price")) == ("late", late_fee().fee, False)
    assert (book.etag, dollars(book.minimum_charge), book.version) == ('"1"', 100, 0)
    published = await billing.publish(book)
    assert list(published.items) == list(book.items) == list((await get(billing, book)).items)


async def test_items_stand_in_the_order_of_their_codes_characters(billing: Billing) -> None:
    book = await draft(billing, *(product(code) for code in ("a_b", "aa", "a1", "ab")))
    assert [item.code for item in book.items] == ["a1", "a_b", "aa", "ab"]
    assert list((await get(billing, book)).items) == list(book.items)


@pytest.mark.parametrize(
    ("item", "rule"),
    [
        (visit(code="infusion"), "item.visit"),
        (visit(visit_type_code=""), "item.visit"),
        (product(code=""), "item.visit"),
        (product(visit_type_code="infusion"), "item.visit"),
        (product(route_code="iv"), "item.visit_only"),
        (add_on(visit_type_codes=[]), "item.add_on"),
        (product(visit_type_codes=["infusion"]), "item.add_on"),
        (add_on(tiers=visit(1, (2, 1)).tiers), "item.tiers"),
        (visit(fee=late_fee().fee), "item.fee"),
        (late_fee(fee=None), "item.fee"),
        (late_fee(unit_price=usd(1)), "item.fee"),
        (visit(unit_price=None), "item.fee"),
    ],
)
async def test_what_an_items_kind_does_not_have_is_refused(billing: Billing, item: Item, rule: str) -> None:
    refused = await refusal(draft(billing, visit(visit_type_code="other"), item))
    assert (refused.reason, refused.faults) == ("BAD_REQUEST", [("items[1]", rule)])
    assert await billing.count("price_book") == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda fee: fee.tiers[0].amount.Clear(), "items[0].fee.tiers[0].amount.amount"),
        (lambda fee: setattr(fee.tiers[0].amount, "basis_points", 10001), "items[0].fee.tiers[0].amount.basis_points"),
        (lambda fee: setattr(fee.tiers[0], "notice_hours", 0), "items[0].fee"),
        (lambda fee: setattr(fee, "hours", 0), "items[0].fee"),
        (lambda fee: setattr(fee, "kind", pb.FEE_KIND_NO_SHOW), "items[0].fee"),
        (lambda fee: fee.ClearField("tiers"), "items[0].fee.tiers"),
        (lambda fee: setattr(fee, "late_minutes", 241), "items[0].fee.late_minutes"),
    ],
)
async def test_terms_of_a_fee_that_cannot_be_are_refused(
    billing: Billing, change: Callable[[pb.FeeTerms], None], field: str
) -> None:
    item = late_fee()
    change(item.fee)
    refused = await refusal(draft(billing, item))
    assert (refused.reason, [each for each, _ in refused.faults]) == ("BAD_REQUEST", [field])


@pytest.mark.parametrize(
    ("items", "reason", "field"),
    [
        ([visit(590, (7, 450), (7, 400))], "PRICE_TIERS_DISORDERED", "items[0].tiers[1].from_number"),
        ([visit(), product("a"), add_on("a")], "ITEM_CODE_REPEATED", "items[2].code"),
        ([visit(), late_fee("a"), late_fee("b")], "PRICE_ITEM_REPEATED", "items[2]"),
        ([visit(590, (7, -1))], "AMOUNT_OUT_OF_RANGE", "items[0].tiers[0].unit_price"),
        ([visit(), product(unit_price=usd(1_000_001))], "AMOUNT_OUT_OF_RANGE", "items[1].unit_price"),
        ([visit(99.99)], "MINIMUM_ABOVE_PRICES", "minimum_charge"),
    ],
)
async def test_a_price_book_that_contradicts_itself_is_refused(
    billing: Billing, items: list[Item], reason: str, field: str
) -> None:
    refused = await refusal(draft(billing, *items, minimum_charge=usd(100)))
    assert (refused.code, refused.reason, refused.faults) == (StatusCode.INVALID_ARGUMENT, reason, [(field, reason)])
    book = await draft(billing)
    refused = await refusal(update(billing, book, items=items, minimum_charge=usd(100)))
    assert (refused.reason, refused.faults) == (reason, [(field, reason)])
    assert await get(billing, book) == book


async def test_a_draft_is_edited_field_by_field(billing: Billing) -> None:
    book = await draft(billing, minimum_charge=usd(100))
    changed = await update(billing, book, effective_date=to_date(TODAY + DAY), deposit=usd(0))
    assert (changed.effective_date, dollars(changed.deposit), changed.etag) == (to_date(TODAY + DAY), 0, '"2"')
    assert (changed.items, dollars(changed.minimum_charge)) == (book.items, 100)
    other = await update(billing, changed, items=[visit(600), product("other")], minimum_charge=None)
    assert [(item.code, dollars(item.unit_price)) for item in other.items] == [("", 600), ("other", 75)]
    assert (other.HasField("minimum_charge"), other.etag, other.effective_date) == (
        False,
        '"3"',
        changed.effective_date,
    )
    assert await get(billing, book) == other
    assert await billing.count("price_item") == 2
    assert dollars((await billing.publish(other)).items[0].unit_price) == 600


async def test_an_edit_that_is_sent_again_is_answered_again(billing: Billing) -> None:
    request = update_of(await draft(billing), items=[visit(600)])
    answers = [await billing.svc.call(billing.price_books.UpdatePriceBook, request) for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0].price_book.etag == '"2"'


async def test_a_stale_draft_is_neither_edited_nor_deleted_nor_published(billing: Billing) -> None:
    book = await draft(billing)
    changed = await update(billing, book, deposit=usd(1))
    for refused in (
        await refusal(update(billing, book, deposit=usd(2))),
        await refusal(delete(billing, book)),
        await refusal(update(billing, book, etag="unknown", deposit=usd(2))),
        await refusal(publish(billing, book)),
    ):
        assert (refused.code, refused.reason) == (StatusCode.ABORTED, "STALE_ETAG")
    assert await get(billing, book) == changed
    assert (await publish(billing, changed)).version == 1


async def test_a_deletion_that_is_sent_again_is_answered_again(billing: Billing) -> None:
    book = await draft(billing)
    request = pb.DeletePriceBookRequest(request_id=str(uuid4()), price_book_id=book.id, etag=book.etag)
    answers = [await billing.svc.call(billing.price_books.DeletePriceBook, request) for _ in range(2)]
    assert answers == [pb.DeletePriceBookResponse()] * 2
    rows = await billing.fetch("SELECT ids FROM audit WHERE method LIKE '%DeletePriceBook'")
    assert [book.id in row["ids"] for row in rows] == [True]


async def publish(billing: Billing, book: pb.PriceBook) -> pb.PriceBook:
    request = pb.PublishPriceBookRequest(request_id=str(uuid4()), price_book_id=book.id, etag=book.etag)
    return (await billing.svc.call(billing.price_books.PublishPriceBook, request)).price_book  # type: ignore[no-any-return]


async def test_what_is_published_is_neither_edited_nor_deleted(billing: Billing) -> None:
    book = await billing.publish(await draft(billing))
    for refused in (await refusal(update(billing, book, deposit=usd(2))), await refusal(delete(billing, book))):
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PRICE_BOOK_PUBLISHED")
        assert refused.metadata == {"version": "1"}
    assert await get(billing, book) == book


async def test_a_draft_that_is_deleted_is_gone_with_its_items(billing: Billing) -> None:
    kept, book = await draft(billing), await draft(billing)
    await delete(billing, book)
    assert (await refusal(get(billing, book))).reason == "PRICE_BOOK_NOT_FOUND"
    assert (await refusal(delete(billing, book))).reason == "PRICE_BOOK_NOT_FOUND"
    assert await get(billing, kept) == kept
    assert (await billing.count("price_book"), await billing.count("price_item")) == (1, 4)


@pytest.mark.parametrize("fields", [{"items": []}, {"deposit": None}, {"effective_date": None}, {}])
async def test_an_edit_leaves_no_price_book_without_what_it_needs(billing: Billing, fields: dict[str, Any]) -> None:
    book = await draft(billing)
    assert (await refusal(update(billing, book, **fields))).reason == "BAD_REQUEST"
    assert await get(billing, book) == book


async def test_an_edit_waits_for_a_publication_and_is_refused(billing: Billing) -> None:
    book = await draft(billing)
    id, request = from_wire("pricebook", book.id), pb.PublishPriceBookRequest(request_id=str(uuid4()))
    async with billing.held_open(request, lambda store: prices.publish_price_book(store, id)):
        edit = asyncio.create_task(refusal(update(billing, book, items=[visit(1)])))
        await billing.someone_waits()
    assert (await edit).reason == "PRICE_BOOK_PUBLISHED"
    assert (await get(billing, book)).items == book.items


async def test_a_publication_waits_for_an_edit_and_publishes_what_it_made(billing: Billing) -> None:
    book = await draft(billing)
    id, request = from_wire("pricebook", book.id), update_of(book)
    command = prices.UpdatePriceBook(id, 1, {"effective_date": TODAY + 9 * DAY})
    async with billing.held_open(request, lambda store: prices.update_price_book(store, command)):
        publication = asyncio.create_task(billing.publish(book))
        await billing.someone_waits()
    published = await publication
    assert (published.effective_date, published.version) == (to_date(TODAY + 9 * DAY), 1)
    [row] = await billing.fetch("SELECT effective_date FROM publication")
    assert row["effective_date"] == TODAY + 9 * DAY


async def test_of_two_edits_at_once_one_is_stale(billing: Billing) -> None:
    book = await draft(billing)
    command = prices.UpdatePriceBook(from_wire("pricebook", book.id), 1, {"effective_date": TODAY + DAY})
    async with billing.held_open(update_of(book), lambda store: prices.update_price_book(store, command)):
        second = asyncio.create_task(refusal(update(billing, book, deposit=usd(9))))
        await billing.someone_waits()
    assert (await second).reason == "STALE_ETAG"
    assert (await get(billing, book)).effective_date == to_date(TODAY + DAY)


async def test_a_copy_for_another_site_has_other_prices_rounded_half_up(billing: Billing) -> None:
    source, elsewhere = (
        await billing.publish(await draft(billing, minimum_charge=usd(100))),
        await billing.register_site(),
    )
    made = await copy(billing, source, site_id=elsewhere, percent=5)
    assert [dollars(item.unit_price) for item in made.items] == [620, 53, 79, None]  # 619.50, 52.50, 78.75.
    assert [dollars(tier.unit_price) for tier in made.items[0].tiers] == [473, 420]  # 472.50.
    assert (made.site_id, made.version, made.effective_date) == (elsewhere, 0, to_date(TODAY + DAY))
    assert (dollars(made.deposit), dollars(made.minimum_charge)) == (150, 105)
    assert made.items[3].fee == source.items[3].fee
    assert await get(billing, made) == made
    assert await get(billing, source) == source
    assert (await billing.publish(made)).version == 1


async def test_a_copy_that_is_sent_again_is_one(billing: Billing) -> None:
    source = await draft(billing)
    request = pb.CopyPriceBookRequest(
        request_id=str(uuid4()),
        price_book_id=source.id,
        site_id=billing.site_id,
        effective_date=to_date(TODAY),
        rounding=pb.ROUNDING_STEP_CENT,
    )
    answers = [await billing.svc.call(billing.price_books.CopyPriceBook, request) for _ in range(2)]
    assert answers[0] == answers[1]
    assert await billing.count("price_book") == 2


async def test_a_copy_that_makes_amounts_negative_or_huge_is_refused(billing: Billing) -> None:
    source = await draft(billing, visit(990_000), product(unit_price=usd(995_000)))
    for percent in (-102, 2):
        refused = await refusal(copy(billing, source, percent=percent))
        assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "AMOUNT_OUT_OF_RANGE")
        assert refused.faults[0] == ("items[0].unit_price", "AMOUNT_OUT_OF_RANGE")
    assert (await refusal(copy(billing, source, change_basis_points=1_000_001))).reason == "BAD_REQUEST"
    assert (await refusal(copy(billing, source, rounding=0))).reason == "BAD_REQUEST"
    assert (await refusal(copy(billing, source, site_id=to_wire("site", new_id())))).reason == "NOT_YET_KNOWN"
    assert await billing.count("price_book") == 1


async def test_a_copy_is_in_the_currency_of_its_site(billing: Billing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(money.MINOR_DIGITS, "CAD", 2)
    await billing.price()
    elsewhere = await billing.register_site()
    canadian = billing.price_book_request([], site_id=elsewhere, currency_code="CAD")
    canadian.deposit.currency_code = "CAD"
    price = pb.PriceItem(unit_price={"currency_code": "CAD", "units": 1}).unit_price
    canadian.items.add(visit_type_code="infusion", unit_price=price, description="IV infusion")
    source = (await billing.svc.call(billing.price_books.CreatePriceBook, canadian)).price_book
    refused = await refusal(copy(billing, source))
    assert (refused.reason, [field for field, _ in refused.faults]) == (
        "CURRENCY_MISMATCH",
        ["deposit", "items[0].unit_price"],
    )


async def test_the_difference_of_two_price_books_is_told(billing: Billing) -> None:
    old = await draft(billing)
    new = await update(
        billing,
        await copy(billing, old),
        deposit=usd(200),
        items=[visit(600), product(description="Lozenges, 30"), visit(99, visit_type_code="talk"), late_fee()],
    )
    found = await diff(billing, old, new)
    assert [item.visit_type_code for item in found.added] == ["talk"]
    assert [item.code for item in found.removed] == ["integration"]
    assert [(dollars(each.old.unit_price), dollars(each.new.unit_price)) for each in found.changed] == [
        (590, 600),
        (75, 75),
    ]
    assert (found.changed[1].old.description, found.changed[1].new.description) == ("Lozenges", "Lozenges, 30")
    assert (dollars(found.deposit.old), dollars(found.deposit.new)) == (150, 200)
    assert not found.HasField("minimum_charge")
    assert await diff(billing, old, old) == pb.DiffPriceBooksResponse()


async def test_a_price_is_explained_by_its_tier_its_least_charge_and_what_it_won_over(billing: Billing) -> None:
    items = [
        visit(80, (2, 500), route_code="iv"),
        visit(70),
        visit(60, band_code="up_to_60"),
        visit(1, route_code="im"),
    ]
    first = await billing.publish(await draft(billing, *items, minimum_charge=usd(100)))
    second = await billing.publish(await draft(billing, visit(90), effective=TODAY + DAY))
    found = await explain(billing)
    assert (dollars(found.amount), found.minimum_charge_applied, found.HasField("tier")) == (100, True, False)
    assert (dollars(found.item.unit_price), found.price_book_id, found.version) == (80, first.id, 1)
    assert [
        (dollars(each.item.unit_price), each.price_book_id, each.version, each.loss) for each in found.candidates
    ] == [
        (60, first.id, 1, pb.CANDIDATE_LOSS_LESS_SPECIFIC),
        (70, first.id, 1, pb.CANDIDATE_LOSS_LESS_SPECIFIC),
        (90, second.id, 2, pb.CANDIDATE_LOSS_LATER_PRICE_BOOK),
    ]
    assert len(found.add_ons) == 0
    later = await explain(billing, 2)
    assert (dollars(later.amount), later.minimum_charge_applied, later.tier.from_number) == (500, False, 2)


async def test_a_price_is_told_with_the_add_ons_of_its_price_book_that_go_with_the_visit(billing: Billing) -> None:
    talk = visit(200, visit_type_code="talk")
    await billing.publish(
        await draft(billing, visit(), talk, add_on("a"), add_on("b", visit_type_codes=["talk", "other"]))
    )
    found = await explain(billing)
    assert ([item.code for item in found.add_ons], dollars(found.amount)) == (["a"], 590)
    assert [item.code for item in (await explain(billing, visit_type_code="talk")).add_ons] == ["b"]


async def test_an_estimate_and_the_charges_of_a_course_follow_the_tiers(billing: Billing) -> None:
    items = [visit(590, (3, 450)), visit(300, visit_type_code="assessment", description="Evaluation")]
    await billing.publish(await draft(billing, *items, minimum_charge=usd(400)))
    course = await billing.book([ASSESSMENT, INFUSION, INFUSION, INFUSION, INFUSION])
    [estimate] = await billing.estimates_of(course)
    assert [(line.count, dollars(line.unit_price)) for line in estimate.lines] == [(1, 400), (2, 590), (2, 450)]
    assert dollars(estimate.total) == 2480
    await billing.complete(course, 0, 1, 2)
    await billing.cancel(course, 3)
    await billing.complete(course, 4)
    charges = (await billing.course_account(course)).charges
    assert [dollars(charge.amount) for charge in charges] == [400, 590, 590, 450]
    other = await billing.book([INFUSION])
    await billing.complete(other)
    assert [dollars(charge.amount) for charge in (await billing.course_account(other)).charges] == [590]
    await billing.books_agree()


async def test_a_visit_that_is_told_twice_takes_no_second_number(billing: Billing) -> None:
    await billing.publish(await draft(billing, visit(590, (2, 450))))
    course = await billing.book([INFUSION, INFUSION])
    told = billing.completed(course, 0)
    await billing.svc.deliver(told)
    await billing.svc.deliver(told)
    await billing.complete(course, 1)
    assert [dollars(each.amount) for each in (await billing.course_account(course)).charges] == [590, 450]


async def test_a_course_that_grows_is_estimated_as_one(billing: Billing) -> None:
    await billing.publish(await draft(billing, visit(590, (2, 450))))
    course = await billing.book([INFUSION])
    more = billing.course_event([INFUSION, INFUSION])
    more.course_id, more.patient_id = course.id, course.patient_id
    more.visits.insert(0, course.visits[0])
    await billing.svc.deliver(more)
    latest = (await billing.estimates_of(course))[0]
    assert [(line.count, dollars(line.unit_price)) for line in latest.lines] == [(1, 590), (2, 450)]
    assert latest.version == 2


async def test_roles_and_sites_and_chains_are_kept(billing: Billing) -> None:
    book, elsewhere = await draft(billing), await billing.register_site()
    for role in ("ROLE_FRONT_DESK", "ROLE_AUDITOR", "ROLE_CLINICIAN", "ROLE_PATIENT"):
        token = billing.svc.token(role)
        for refused in (
            await refusal(update(billing, book, token, deposit=usd(1))),
            await refusal(delete(billing, book, token)),
            await refusal(copy(billing, book, token)),
        ):
            assert refused.code == StatusCode.PERMISSION_DENIED
    other_site, other_chain = billing.at(elsewhere), billing.svc.token(chain_id=new_id())
    for token in (other_site, other_chain):
        for refused in (
            await refusal(update(billing, book, token, deposit=usd(1))),
            await refusal(delete(billing, book, token)),
            await refusal(copy(billing, book, token, site_id=elsewhere)),
            await refusal(diff(billing, book, book, token)),
        ):
            assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PRICE_BOOK_NOT_FOUND")
    assert (await refusal(copy(billing, book, other_site))).reason == "ACCESS_DENIED"
    assert await get(billing, book) == book
    assert await billing.count("price_book") == 1
    desk = billing.at(billing.site_id, "ROLE_FRONT_DESK")
    assert await diff(billing, book, book, desk) == pb.DiffPriceBooksResponse()


async def test_the_database_holds_items_to_their_kinds_and_codes_to_one(billing: Billing) -> None:
    book = await draft(billing)
    for change, constraint in (
        ("UPDATE price_item SET code = 'x' WHERE kind = 1", "price_item_kind_check"),
        ("UPDATE price_item SET kind = 1 WHERE kind = 3", "price_item_kind_check"),
        ("UPDATE price_item SET terms = '{}' WHERE kind = 4", "price_item_fee_check"),
        (
            'UPDATE price_item SET terms = \'{"tiers": [{"from": 2, "minor": -1}]}\' WHERE kind = 1',
            "price_item_tiers_check",
        ),
        ("UPDATE price_item SET code = 'x' WHERE kind IN (2, 3)", "price_item_code_never_twice"),
        ("UPDATE price_book SET minimum_minor = -1", "price_book_minimum_check"),
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
            await billing.execute(change)
        assert refused.value.constraint_name == constraint
    assert await get(billing, book) == book


async def test_a_price_book_of_before_has_visits_and_no_least_charge(billing: Billing) -> None:
    """As rows that were written before items had kinds."""
    book = await billing.draft(ITEMS)
    assert {item.kind for item in book.items} == {pb.PRICE_ITEM_KIND_VISIT}
    await billing.execute("UPDATE price_item SET terms = DEFAULT, kind = DEFAULT, code = DEFAULT")
    assert await get(billing, book) == book
