"""Packages that a chain offers: drafted, published, retired; and never changed once they are published."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from google.type.money_pb2 import Money
from grpc import StatusCode

from atoll.billing.v1 import package_service_pb2 as pb
from chassis import money
from chassis.ids import new_id, to_wire
from tests.support.billing import dollars, open_billing, open_chain, usd
from tests.support.packages import Packages
from tests.support.service import Running, refusal

SitePrice, Item = pb.PackageTerms.SitePrice, pb.PackageTerms.Item


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def chain(service: Running) -> Packages:
    return await Packages(await open_chain(service)).open()


async def read(chain: Packages, package_id: str, token: str | None = None) -> pb.Package:
    request = pb.GetPackageRequest(package_id=package_id)
    return (await chain.svc.call(chain.offers.GetPackage, request, token)).package  # type: ignore[no-any-return]


async def update(chain: Packages, package: pb.Package, terms: Any, token: str | None = None) -> pb.Package:
    request = pb.UpdatePackageRequest(request_id=str(uuid4()), package_id=package.id, etag=package.etag, terms=terms)
    return (await chain.svc.call(chain.offers.UpdatePackage, request, token)).package  # type: ignore[no-any-return]


async def retire(chain: Packages, package: pb.Package, token: str | None = None) -> pb.Package:
    request = pb.RetirePackageRequest(request_id=str(uuid4()), package_id=package.id, etag=package.etag)
    return (await chain.svc.call(chain.offers.RetirePackage, request, token)).package  # type: ignore[no-any-return]


async def listed(chain: Packages, token: str | None = None, **request: Any) -> pb.ListPackagesResponse:
    return await chain.svc.call(chain.offers.ListPackages, pb.ListPackagesRequest(**request), token)  # type: ignore[no-any-return]


async def test_a_package_is_drafted_published_and_retired(chain: Packages) -> None:
    terms = chain.terms(
        site_prices=[SitePrice(site_id=chain.other_site_id, price=usd(3200))],
        redeem_site_ids=[chain.billing.site_id],
        transferable=True,
        freeze_days=60,
        early_stop=pb.EARLY_STOP_RERATE,
        stop_fee_percent=5,
        redeemable_unpaid=True,
        valid_from=pb.PACKAGE_START_FIRST_USE,
    )
    draft = await chain.draft(terms)
    assert (draft.code, draft.version, draft.status, draft.terms) == ("six", 0, pb.PACKAGE_STATUS_DRAFT, terms)
    assert not draft.HasField("publish_time")
    published = await chain.publish(draft)
    assert (published.version, published.status, published.terms) == (1, pb.PACKAGE_STATUS_PUBLISHED, terms)
    retired = await retire(chain, published)
    assert (retired.version, retired.status) == (1, pb.PACKAGE_STATUS_RETIRED)
    assert await read(chain, draft.id) == retired


async def test_versions_count_the_published_ones_of_a_code(chain: Packages) -> None:
    drafts = [await chain.draft(code=code) for code in ("six", "six", "group", "six")]
    published = [await chain.publish(draft) for draft in drafts[1:]]
    assert [(each.code, each.version) for each in published] == [("six", 1), ("group", 1), ("six", 2)]
    assert (await chain.publish(drafts[0])).version == 3


async def test_a_draft_is_replaced_as_a_whole(chain: Packages) -> None:
    draft = await chain.draft(chain.terms(site_prices=[SitePrice(site_id=chain.other_site_id, price=usd(1))]))
    terms = chain.terms((("infusion", "im", "", 3),), 1800, name="Three")
    changed = await update(chain, draft, terms)
    assert (changed.terms, changed.etag != draft.etag) == (terms, True)
    assert await read(chain, draft.id) == changed
    assert (await refusal(update(chain, draft, terms))).reason == "STALE_ETAG"
    assert (await refusal(chain.publish(draft))).code == StatusCode.ABORTED


async def test_a_published_package_is_neither_changed_nor_published_again(chain: Packages) -> None:
    package = await chain.offer()
    for attempt in (update(chain, package, chain.terms(price=1)), chain.publish(package)):
        refused = await refusal(attempt)
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PACKAGE_PUBLISHED")
    assert await read(chain, package.id) == package


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE package SET price_minor = 1",
        "UPDATE package SET published_at = NULL, version = 0",
        "DELETE FROM package_price",
        "DELETE FROM package_item",
        "UPDATE package_item SET count = 7",
        "UPDATE package_price SET price_minor = 1",
        "DELETE FROM package",
        "INSERT INTO package_item SELECT chain_id, package_id, 9, 'massage', '', '', 1 FROM package_item LIMIT 1",
    ],
)
async def test_the_database_keeps_a_published_package_as_it_is(chain: Packages, change: str) -> None:
    package = await chain.offer(site_prices=[SitePrice(site_id=chain.other_site_id, price=usd(1))])
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await chain.billing.execute(change)
    assert refused.value.constraint_name == "published_package_stays"
    assert await read(chain, package.id) == package


async def test_what_is_not_on_sale_is_not_retired(chain: Packages) -> None:
    draft = await chain.draft()
    assert (await refusal(retire(chain, draft))).reason == "PACKAGE_NOT_ON_SALE"
    retired = await retire(chain, await chain.publish(draft))
    assert (await refusal(retire(chain, retired))).reason == "PACKAGE_NOT_ON_SALE"


@pytest.mark.parametrize(
    ("changes", "reason", "fields"),
    [
        ({"price": None}, "AMOUNT_OUT_OF_RANGE", ["terms.price"]),
        ({"price": 0}, "AMOUNT_OUT_OF_RANGE", ["terms.price"]),
        ({"price": -1}, "AMOUNT_OUT_OF_RANGE", ["terms.price"]),
        ({"items": (("massage", "", "", 1),)}, "PACKAGE_VISIT_TYPE_UNKNOWN", ["terms.items[0].visit_type_code"]),
        (
            {"items": (("infusion", "iv", "", 1), ("infusion", "iv", "", 2))},
            "PACKAGE_ITEM_REPEATED",
            ["terms.items[1]"],
        ),
    ],
)
async def test_terms_that_could_not_be_sold_are_refused_by_field(
    chain: Packages, changes: dict[str, Any], reason: str, fields: list[str]
) -> None:
    refused = await refusal(chain.draft(chain.terms(**changes)))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, reason)
    assert refused.faults == [(field, reason) for field in fields]
    assert await chain.billing.count("package") == 0


async def test_all_prices_of_a_package_are_in_the_currency_of_its_sites(
    chain: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(money.MINOR_DIGITS, "CAD", 2)
    cad = SitePrice(site_id=chain.other_site_id, price=Money(currency_code="CAD", units=3000))
    for terms in (chain.terms(site_prices=[cad]), chain.terms(price=None, site_prices=[cad])):
        refused = await refusal(chain.draft(terms))
        assert (refused.reason, refused.faults[0][0]) == ("CURRENCY_MISMATCH", "terms.site_prices[0].price")
    package = await chain.publish(await chain.draft(_in_cad(chain)))
    refused = await refusal(chain.sell(package))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "CURRENCY_MISMATCH")
    assert await chain.billing.count("charge") == 0


def _in_cad(chain: Packages) -> Any:
    terms = chain.terms()
    terms.price.CopyFrom(Money(currency_code="CAD", units=3000))
    return terms


@pytest.mark.parametrize(
    "changes",
    [
        {"items": ()},
        {"items": tuple(("infusion", f"r{n}", "", 1) for n in range(21))},
        {"items": (("infusion", "", "", 0),)},
        {"items": (("infusion", "", "", 201),)},
        {"items": (("infusion", "", "", -1),)},
        {"items": (("Infusion", "", "", 1),)},
        {"name": ""},
        {"valid_days": 0},
        {"valid_days": 3651},
        {"valid_from": pb.PACKAGE_START_UNSPECIFIED},
        {"freeze_days": -1},
        {"early_stop": pb.EARLY_STOP_UNSPECIFIED},
        {"stop_fee_percent": 101},
    ],
)
async def test_fields_have_bounds(chain: Packages, changes: dict[str, Any]) -> None:
    assert (await refusal(chain.draft(chain.terms(**changes)))).reason == "BAD_REQUEST"
    assert await chain.billing.count("package") == 0


async def test_sites_that_are_named_must_be_known(chain: Packages) -> None:
    unknown = to_wire("site", new_id())
    for terms in (
        chain.terms(site_prices=[SitePrice(site_id=unknown, price=usd(1))]),
        chain.terms(redeem_site_ids=[unknown]),
    ):
        refused = await refusal(chain.draft(terms))
        assert (refused.reason, refused.metadata) == ("NOT_YET_KNOWN", {"waits_for": unknown})


async def test_a_package_that_is_sent_again_is_drafted_once(chain: Packages) -> None:
    request = pb.CreatePackageRequest(request_id=str(uuid4()), code="six", terms=chain.terms())
    answers = [await chain.svc.call(chain.offers.CreatePackage, request) for _ in range(2)]
    assert answers[0] == answers[1]
    assert await chain.billing.count("package") == 1


async def test_packages_are_listed_the_newest_first_by_status(chain: Packages) -> None:
    first, second, third = [await chain.draft(code=code) for code in ("a", "b", "c")]
    published = await chain.publish(second)
    page = await listed(chain, page_size=2)
    assert list(page.packages) == [third, published]
    assert list((await listed(chain, page_size=2, page_token=page.next_page_token)).packages) == [first]
    assert list((await listed(chain, status=pb.PACKAGE_STATUS_PUBLISHED)).packages) == [published]
    assert list((await listed(chain, status=pb.PACKAGE_STATUS_DRAFT)).packages) == [third, first]
    assert list((await listed(chain, status=pb.PACKAGE_STATUS_RETIRED)).packages) == []
    assert (await refusal(listed(chain, page_size=3, page_token="x"))).reason == "BAD_PAGE_TOKEN"


async def test_only_the_chain_offers_and_sites_see_their_own_prices(chain: Packages, service: Running) -> None:
    prices = [SitePrice(site_id=id, price=usd(n)) for n, id in ((1, chain.billing.site_id), (2, chain.other_site_id))]
    package = await chain.offer(site_prices=prices)
    for role in ("ROLE_SITE_MANAGER", "ROLE_BILLING", "ROLE_FRONT_DESK", "ROLE_AUDITOR", "ROLE_CLINICIAN"):
        token = chain.billing.at(chain.billing.site_id, role)
        for attempt in (
            chain.draft(token=token),
            update(chain, package, chain.terms(), token),
            chain.publish(package, token),
            retire(chain, package, token),
        ):
            assert (await refusal(attempt)).code == StatusCode.PERMISSION_DENIED
    seen = await read(chain, package.id, chain.billing.at(chain.other_site_id, "ROLE_FRONT_DESK"))
    assert [(each.site_id, dollars(each.price)) for each in seen.terms.site_prices] == [(chain.other_site_id, 2)]
    stranger = Packages(await open_chain(service))
    refused = await refusal(read(stranger, package.id))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PACKAGE_NOT_FOUND")
    assert list((await listed(stranger)).packages) == []
