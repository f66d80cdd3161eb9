"""The books of a legal entity: closed, verified, adjusted by hand."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from google.type import date_pb2
from grpc import StatusCode

from atoll.billing.v1 import ledger_service_pb2 as pb
from chassis.errors import TryAgain
from chassis.ids import from_wire, new_id, to_wire
from chassis.money import Money
from chassis.times import to_date, to_timestamp
from services.billing.domain.ledger import Account, Tender, of_payment
from services.billing.store import BillingStore
from tests.support.billing import Billing, open_billing, open_chain, usd
from tests.support.service import Running, refusal

CASH, BANK, FEES, RECEIVABLE = (
    pb.LEDGER_ACCOUNT_CASH,
    pb.LEDGER_ACCOUNT_BANK,
    pb.LEDGER_ACCOUNT_PROCESSOR_FEES,
    pb.LEDGER_ACCOUNT_ACCOUNTS_RECEIVABLE,
)


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> Billing:
    billing = await open_chain(service)
    await billing.price()
    return billing


def today(billing: Billing) -> date:
    return billing.svc.inside("Test").now.date()


async def close(
    billing: Billing, last_date: date, token: str | None = None, request_id: str | None = None
) -> pb.Period:
    request = pb.ClosePeriodRequest(
        request_id=request_id or str(new_id()), legal_entity_id=billing.legal_entity_id, last_date=to_date(last_date)
    )
    response: pb.ClosePeriodResponse = await billing.svc.call(billing.ledger.ClosePeriod, request, token)
    return response.period


def adjustment(
    billing: Billing, *lines: tuple[pb.LedgerAccount.ValueType, float], **changes: Any
) -> pb.PostAdjustmentRequest:
    postings = [pb.Entry.Posting(account=account, amount=usd(amount)) for account, amount in lines]
    given = {"request_id": str(new_id()), "site_id": billing.site_id, "reason": "fee of the bank", "postings": postings}
    return pb.PostAdjustmentRequest(**given | changes)


async def adjust(
    billing: Billing, *lines: tuple[pb.LedgerAccount.ValueType, float], token: str | None = None, **changes: Any
) -> pb.Entry:
    request = adjustment(billing, *lines, **changes)
    response: pb.PostAdjustmentResponse = await billing.svc.call(billing.ledger.PostAdjustment, request, token)
    return response.entry


async def verify(billing: Billing) -> pb.VerifyBooksResponse:
    request = pb.VerifyBooksRequest(legal_entity_id=billing.legal_entity_id)
    response: pb.VerifyBooksResponse = await billing.svc.call(billing.ledger.VerifyBooks, request)
    return response


async def balance_before(billing: Billing, before: datetime) -> dict[str, tuple[float, float]]:
    request = pb.GetTrialBalanceRequest(legal_entity_id=billing.legal_entity_id, before_time=to_timestamp(before))
    totals = (await billing.svc.call(billing.ledger.GetTrialBalance, request)).totals
    return {
        pb.LedgerAccount.Name(each.account).removeprefix("LEDGER_ACCOUNT_"): (each.debit.units, each.credit.units)
        for each in totals
    }


async def test_what_was_posted_before_an_instant_is_in_the_balance_of_that_instant(billing: Billing) -> None:
    now = billing.svc.inside("Test").now
    await adjust(billing, (BANK, 10), (CASH, -10), post_time=to_timestamp(now - timedelta(days=3)))
    await adjust(billing, (BANK, 5), (CASH, -5), post_time=to_timestamp(now - timedelta(days=1)))
    assert await balance_before(billing, now - timedelta(days=3)) == {}
    assert await balance_before(billing, now - timedelta(days=2)) == {"CASH": (0, 10), "BANK": (10, 0)}
    assert await billing.trial_balance() == {"CASH": (0, 15), "BANK": (15, 0)}


async def test_a_closed_period_keeps_its_balances_and_what_follows_is_added_to_them(billing: Billing) -> None:
    now = billing.svc.inside("Test").now
    long_ago, lately = now - timedelta(days=40), now - timedelta(hours=1)
    await adjust(billing, (BANK, 10), (CASH, -10), post_time=to_timestamp(long_ago))
    period = await close(billing, today(billing) - timedelta(days=30))
    await adjust(billing, (FEES, 2), (BANK, -2), post_time=to_timestamp(lately))
    assert await balance_before(billing, period.end_time.ToDatetime(UTC)) == {"CASH": (0, 10), "BANK": (10, 0)}
    assert await balance_before(billing, long_ago) == {}
    assert await billing.trial_balance() == {"CASH": (0, 10), "BANK": (10, 2), "PROCESSOR_FEES": (2, 0)}
    later = await close(billing, today(billing) - timedelta(days=5))
    assert await balance_before(billing, later.end_time.ToDatetime(UTC)) == {"CASH": (0, 10), "BANK": (10, 0)}
    assert (await billing.last_fact("period.closed")).period_id == later.id
    found = await verify(billing)
    assert (found.posting_count, found.period_count, list(found.differences)) == (4, 2, [])


async def test_a_period_ends_when_the_day_is_over_at_the_last_of_its_sites(billing: Billing) -> None:
    await billing.register_site(time_zone="Pacific/Honolulu")
    period = await close(billing, date(2026, 3, 7))  # Clocks go forward on the mainland the next night.
    assert period.end_time.ToDatetime(UTC) == datetime(2026, 3, 8, 10, tzinfo=UTC)


async def test_a_day_that_is_not_over_everywhere_is_not_closed(billing: Billing) -> None:
    refused = await refusal(close(billing, today(billing) + timedelta(days=1)))
    assert (refused.reason, [field for field, _ in refused.faults]) == ("PERIOD_NOT_OVER", ["last_date"])
    assert await billing.count("period") == 0


async def test_a_day_is_closed_once_and_no_earlier_one_after_it(billing: Billing) -> None:
    day, request_id = today(billing) - timedelta(days=5), str(new_id())
    first = await close(billing, day, request_id=request_id)
    assert await close(billing, day, request_id=request_id) == first
    for again in (day, day - timedelta(days=1)):
        refused = await refusal(close(billing, again))
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PERIOD_CLOSED")
    assert await billing.count("period") == 1


async def test_nothing_is_posted_into_a_closed_period(billing: Billing) -> None:
    period = await close(billing, today(billing) - timedelta(days=5))
    end = period.end_time.ToDatetime(UTC)
    within = adjust(billing, (BANK, 1), (CASH, -1), post_time=to_timestamp(end - timedelta(microseconds=1)))
    refused = await refusal(within)
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PERIOD_CLOSED")
    assert await billing.count("entry") == 0
    await adjust(billing, (BANK, 1), (CASH, -1), post_time=to_timestamp(end))


async def test_the_database_refuses_what_is_posted_into_a_closed_period(billing: Billing) -> None:
    period = await close(billing, today(billing) - timedelta(days=5))
    entry = of_payment(new_id(), Tender.CASH, Money(300))
    async with billing.svc.db.transaction(billing.svc.inside("Test")) as conn:
        store = BillingStore(conn, billing.svc.inside("Test"))
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="the books are closed"):
            await store.post_at(
                entry,
                period.end_time.ToDatetime(UTC) - timedelta(days=1),
                legal_entity_id=from_wire("legalentity", billing.legal_entity_id),
                site_id=from_wire("site", billing.site_id),
            )


async def test_books_are_not_closed_while_an_entry_is_on_its_way_into_them(billing: Billing) -> None:
    """Else it would be posted after their balances were taken."""
    posted_at = billing.svc.inside("Test").now - timedelta(days=10)
    request = adjustment(billing, (BANK, 1), (CASH, -1))

    async def post(store: BillingStore) -> None:
        await store.post_at(
            of_payment(new_id(), Tender.CASH, Money(300)),
            posted_at,
            legal_entity_id=from_wire("legalentity", billing.legal_entity_id),
            site_id=from_wire("site", billing.site_id),
        )

    async with billing.held_open(request, post):
        closing = asyncio.create_task(close(billing, today(billing) - timedelta(days=5)))
        await billing.someone_waits()
    period = await closing
    assert await balance_before(billing, period.end_time.ToDatetime(UTC)) == {
        "CASH": (3, 0),
        "CUSTOMER_DEPOSITS": (0, 3),
    }


async def test_what_began_before_a_day_was_closed_is_not_refused_for_good_and_is_posted_after_it(
    billing: Billing,
) -> None:
    """A visit would be charged never: what a rule refuses is not told again."""
    course, request = await billing.book(), adjustment(billing, (BANK, 1), (CASH, -1))
    async with billing.held_open(request, lambda store: store.lock([from_wire("site", billing.site_id)])):
        charging = asyncio.create_task(billing.complete(course, 0))
        await billing.someone_waits("advisory")
        billing.svc.clock.now += timedelta(days=3)
        await close(billing, today(billing) - timedelta(days=2))
    with pytest.raises(TryAgain):
        await charging
    await billing.complete(course, 0)
    assert await billing.count("charge") == 1


@pytest.mark.parametrize(
    ("lines", "reason", "fields"),
    [
        ([(BANK, 1), (CASH, -2)], "ENTRY_UNBALANCED", ["postings"]),
        ([(BANK, 1), (RECEIVABLE, -1)], "ACCOUNT_CONTROLLED", ["postings[1].account"]),
        ([(BANK, 0), (CASH, 0)], "AMOUNT_OUT_OF_RANGE", ["postings[0].amount", "postings[1].amount"]),
        ([(BANK, 2_000_000), (CASH, -2_000_000)], "AMOUNT_OUT_OF_RANGE", ["postings[0].amount", "postings[1].amount"]),
        ([(BANK, 1)], "BAD_REQUEST", ["postings"]),
        ([(0, 1), (CASH, -1)], "BAD_REQUEST", ["postings[0].account"]),
    ],
)
async def test_an_entry_by_hand_is_refused_by_name_of_what_is_wrong_with_it(
    billing: Billing, lines: list[Any], reason: str, fields: list[str]
) -> None:
    refused = await refusal(adjust(billing, *lines))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, reason)
    assert [field for field, _ in refused.faults] == fields
    assert await billing.count("entry") == 0


async def test_an_entry_by_hand_is_not_posted_ahead_of_time(billing: Billing) -> None:
    ahead = to_timestamp(billing.svc.inside("Test").now + timedelta(days=1))
    assert (await refusal(adjust(billing, (BANK, 1), (CASH, -1), post_time=ahead))).reason == "POST_TIME_IN_FUTURE"


async def test_the_books_of_a_legal_entity_of_which_no_site_was_heard_stay_open(billing: Billing) -> None:
    legal_entity_id = to_wire("legalentity", new_id())
    await billing.register_legal_entity(legal_entity_id)
    billing.legal_entity_id = legal_entity_id
    assert (await refusal(close(billing, today(billing) - timedelta(days=5)))).reason == "NOT_YET_KNOWN"
    assert await billing.count("period") == 0


async def test_who_may_close_and_adjust(billing: Billing) -> None:
    day = today(billing) - timedelta(days=5)
    for role in ("ROLE_FRONT_DESK", "ROLE_SITE_MANAGER", "ROLE_AUDITOR"):
        token = billing.at(billing.site_id, role)
        assert (await refusal(close(billing, day, token))).code == StatusCode.PERMISSION_DENIED
        denied = await refusal(adjust(billing, (BANK, 1), (CASH, -1), token=token))
        assert denied.code == StatusCode.PERMISSION_DENIED
    elsewhere = billing.at(await billing.register_site())
    assert (await refusal(adjust(billing, (BANK, 1), (CASH, -1), token=elsewhere))).code == StatusCode.PERMISSION_DENIED
    other_chain = billing.svc.token(chain_id=new_id())
    assert (await refusal(close(billing, day, other_chain))).reason == "NOT_YET_KNOWN"
    assert (await billing.count("period"), await billing.count("entry")) == (0, 0)


async def test_periods_are_listed_the_newest_first_a_page_at_a_time(billing: Billing) -> None:
    days = [date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31)]
    for day in days:
        await close(billing, day)
    request, found = pb.ListPeriodsRequest(legal_entity_id=billing.legal_entity_id, page_size=2), list[date_pb2.Date]()
    while True:
        response = await billing.svc.call(billing.ledger.ListPeriods, request)
        found += [each.last_date for each in response.periods]
        if not (token := response.next_page_token):
            break
        request.page_token = token
    assert found == [to_date(day) for day in reversed(days)]


async def test_verifying_finds_a_balance_that_was_tampered_with(billing: Billing) -> None:
    posted = to_timestamp(billing.svc.inside("Test").now - timedelta(days=40))
    await adjust(billing, (BANK, 10), (CASH, -10), post_time=posted)
    period = await close(billing, today(billing) - timedelta(days=30))
    period_id = from_wire("period", period.id)
    await billing.svc.admin.execute(
        "UPDATE period_balance SET debit_minor = 900 WHERE period_id = $1 AND account = $2", period_id, Account.BANK
    )
    [difference] = (await verify(billing)).differences
    assert (difference.period_id, difference.stored.account) == (period.id, BANK)
    assert (difference.stored.debit.units, difference.replayed.debit.units) == (9, 10)
    assert difference.stored.site_id == billing.site_id
    unknown = pb.VerifyBooksRequest(legal_entity_id=to_wire("legalentity", new_id()))
    assert (await refusal(billing.svc.call(billing.ledger.VerifyBooks, unknown))).reason == "NOT_YET_KNOWN"


async def test_a_detailed_balance_names_site_and_item(billing: Billing) -> None:
    course = await billing.book()
    await billing.complete(course)
    request = pb.GetTrialBalanceRequest(legal_entity_id=billing.legal_entity_id, detailed=True)
    totals = (await billing.svc.call(billing.ledger.GetTrialBalance, request)).totals
    revenue = [each for each in totals if each.account == pb.LEDGER_ACCOUNT_REVENUE]
    assert {each.site_id for each in totals} == {billing.site_id}
    assert len({each.item_code for each in revenue}) == len(revenue) > 1
    assert sum(each.credit.units for each in revenue) == (await billing.trial_balance())["REVENUE"][1]
