"""Code sets through the gRPC door: loaded whole or not at all, ended, listed, asked about."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.billing.v1 import code_service_pb2 as pb
from atoll.billing.v1.code_service_pb2_grpc import CodeServiceStub
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_date
from cli.client import Client
from cli.codes import SERVICE_COLUMNS, all_diagnoses, all_services, loaded, read_diagnoses, read_services
from cli.sample.chain import FOLDER
from deploy.local.process import LocalError
from services.billing.domain.codes import ServiceCode, ServiceCodeRow, codes_on
from services.billing.domain.prices import VisitKind
from services.billing.store import BillingStore
from services.billing.use_cases import codes
from tests.support.billing import Billing, open_billing, open_chain
from tests.support.service import Running, refusal

BEFORE, SINCE, LAST = date(2025, 7, 1), date(2026, 1, 1), date(2025, 12, 31)
SPRAVATO = "spravato"


@pytest_asyncio.fixture(scope="module")
async def service(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_billing(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def billing(service: Running) -> Billing:
    return await open_chain(service)


def row(code: str, first: date = SINCE, last: date | None = None, **changes: Any) -> pb.LoadServiceCodesRequest.Row:
    fields = {"visit_type_code": "infusion", "units": 1, "code": code, "effective_date": to_date(first)}
    return pb.LoadServiceCodesRequest.Row(end_date=to_date(last) if last else None, **fields | changes)


async def load(billing: Billing, *rows: pb.LoadServiceCodesRequest.Row, token: str | None = None) -> tuple[int, ...]:
    request = pb.LoadServiceCodesRequest(request_id=str(uuid4()), rows=rows)
    answer = await billing.svc.call(billing.svc.stub(CodeServiceStub).LoadServiceCodes, request, token)
    return answer.added_count, answer.changed_count, answer.unchanged_count


async def listed(
    billing: Billing, day: date | None = None, token: str | None = None, **fields: Any
) -> list[pb.ServiceCodeRow]:
    request = pb.ListServiceCodesRequest(date=to_date(day) if day else None, **fields)
    stub = billing.svc.stub(CodeServiceStub)
    return list((await billing.svc.call(stub.ListServiceCodes, request, token)).service_code_rows)


async def end(
    billing: Billing, found: pb.ServiceCodeRow, last: date, token: str | None = None, **changes: Any
) -> pb.ServiceCodeRow:
    fields = {"service_code_id": found.id, "etag": found.etag, "end_date": to_date(last)} | changes
    request = pb.EndServiceCodeRequest(request_id=str(uuid4()), **fields)
    stub = billing.svc.stub(CodeServiceStub)
    return (await billing.svc.call(stub.EndServiceCode, request, token)).service_code_row  # type: ignore[no-any-return]


async def load_diagnoses(
    billing: Billing, *rows: tuple[str, date, date | None], token: str | None = None
) -> tuple[int, ...]:
    request = pb.LoadDiagnosisCodesRequest(request_id=str(uuid4()))
    for code, first, last in rows:
        request.rows.add(code=code, effective_date=to_date(first), end_date=to_date(last) if last else None)
    answer = await billing.svc.call(billing.svc.stub(CodeServiceStub).LoadDiagnosisCodes, request, token)
    return answer.added_count, answer.changed_count, answer.unchanged_count


async def find(
    billing: Billing, day: date, services: Sequence[str] = (), diagnoses: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    request = pb.FindCodesRequest(date=to_date(day), service_codes=services, diagnosis_codes=diagnoses)
    answer = await billing.svc.call(billing.svc.stub(CodeServiceStub).FindCodes, request)
    return [each.code for each in answer.service_code_rows], [each.code for each in answer.diagnosis_codes]


async def codes_of(billing: Billing, day: date, *kind: str) -> list[str]:
    """What documents of that day print."""
    asked = VisitKind(*kind)
    inside = billing.svc.inside("Test")
    request, types = pb.ListServiceCodesRequest(), {asked.visit_type_code}
    rows = await billing.svc.db.read(inside, request, BillingStore, lambda store: store.service_codes_of_types(types))
    return [each.code for each in codes_on(rows, asked, day)]


async def test_codes_are_listed_in_order_as_they_were_loaded(billing: Billing) -> None:
    rows = [row("96366", units=2, band_code="over_90", modifiers=["59", "XS"]), row("96365", route_code="iv")]
    assert await load(billing, *rows) == (2, 0, 0)
    first, second = await listed(billing)
    assert (first.code, first.route_code, first.band_code, first.units, list(first.modifiers)) == (
        "96365",
        "iv",
        "",
        1,
        [],
    )
    assert (second.code, second.band_code, second.units, list(second.modifiers)) == (
        "96366",
        "over_90",
        2,
        ["59", "XS"],
    )
    assert (first.effective_date, first.HasField("end_date"), first.etag) == (to_date(SINCE), False, '"1"')


async def test_loaded_twice_is_once_and_what_differs_is_replaced(billing: Billing) -> None:
    rows = [row("96365"), row("96372", route_code="im")]
    assert await load(billing, *rows) == (2, 0, 0)
    before = await listed(billing)
    assert await load(billing, *rows) == (0, 0, 2)
    assert await listed(billing) == before
    assert await load(billing, row("96365", units=2), rows[1], row("J3490")) == (1, 1, 1)
    after = await listed(billing)
    assert [(each.code, each.units, each.etag) for each in after] == [
        ("96365", 2, '"2"'),
        ("96372", 1, '"1"'),
        ("J3490", 1, '"1"'),
    ]
    assert after[0].id == before[0].id


async def test_a_load_that_is_sent_again_is_answered_again(billing: Billing) -> None:
    request = pb.LoadServiceCodesRequest(request_id=str(uuid4()), rows=[row("96365")])
    stub = billing.svc.stub(CodeServiceStub)
    answers = [await billing.svc.call(stub.LoadServiceCodes, request) for _ in range(2)]
    assert [answer.added_count for answer in answers] == [1, 1]
    assert await billing.count("service_code") == 1


async def test_one_code_takes_over_from_another_on_the_day(billing: Billing) -> None:
    await load(billing, row("S0013", BEFORE, LAST, visit_type_code=SPRAVATO), row("J0013", visit_type_code=SPRAVATO))
    assert await codes_of(billing, LAST, SPRAVATO, "nasal", "") == ["S0013"]
    assert await codes_of(billing, SINCE, SPRAVATO, "nasal", "") == ["J0013"]
    assert await codes_of(billing, date(2025, 6, 30), SPRAVATO, "nasal", "") == []
    assert [each.code for each in await listed(billing, LAST)] == ["S0013"]
    assert [each.code for each in await listed(billing, SINCE)] == ["J0013"]


@pytest.mark.parametrize(
    ("code", "first", "last", "day"),
    [
        ("S0013", BEFORE, None, "2026-01-01"),
        ("S0013", BEFORE, SINCE, "2026-01-01"),
        ("J0013", LAST, None, "2025-12-31"),
        ("J0013", BEFORE, LAST, "2025-07-01"),
    ],
)
async def test_a_code_is_not_loaded_for_days_on_which_there_is_none(
    billing: Billing, code: str, first: date, last: date | None, day: str
) -> None:
    refused = await refusal(load(billing, row("96365"), row(code, first, last)))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "CODE_NOT_VALID")
    assert refused.faults == [("rows[1]", "CODE_NOT_VALID")]
    assert any(f"{code} is not valid on {day}".encode() in each.value for each in refused.details)
    assert await billing.count("service_code") == 0


async def test_every_row_that_overlaps_is_named_and_none_is_loaded(billing: Billing) -> None:
    await load(billing, row("96365", BEFORE, LAST))
    refused = await refusal(
        load(
            billing,
            row("96365", LAST),  # On the last day of one that is there.
            row("96365", SINCE, route_code="iv"),  # Of other visits.
            row("96372", SINCE),
            row("96372", date(2027, 1, 1)),
            row("96372", SINCE),  # Twice the same.
            row("96365", BEFORE, date(2025, 8, 1)),  # Replaces the one that is there,
            row("J3490", date(2024, 1, 1), date(2024, 2, 1)),
        )
    )
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "CODES_OVERLAP")
    assert refused.faults == [("rows[3]", "CODES_OVERLAP"), ("rows[4]", "CODES_OVERLAP")]
    refused = await refusal(load(billing, row("96365", LAST), row("J3490")))
    assert refused.faults == [("rows[0]", "CODES_OVERLAP")]
    assert [(each.code, each.end_date) for each in await listed(billing)] == [("96365", to_date(LAST))]


async def test_days_may_move_from_one_row_to_the_next_in_one_load(billing: Billing) -> None:
    """The second begins later than it did, so that it is another row; the first takes its days at once."""
    middle, end_of_july = date(2026, 6, 1), date(2026, 7, 31)
    await load(billing, row("96365", SINCE, date(2026, 5, 31)), row("96365", middle, end_of_july))
    assert await load(
        billing, row("96365", SINCE, date(2026, 5, 1)), row("96365", date(2026, 5, 2), date(2026, 5, 31))
    ) == (1, 1, 0)
    assert [each.effective_date.month for each in await listed(billing)] == [1, 6, 5]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"code": "9636"}, "rows[1].code"),
        ({"code": "j3490"}, "rows[1].code"),
        ({"code": "96365 infusion"}, "rows[1].code"),
        ({"units": 0}, "rows[1].units"),
        ({"units": 1000}, "rows[1].units"),
        ({"modifiers": ["5"]}, "rows[1].modifiers[0]"),
        ({"modifiers": ["59", "59"]}, "rows[1].modifiers"),
        ({"visit_type_code": ""}, "rows[1].visit_type_code"),
        ({"last": LAST}, "rows[1]"),
    ],
)
async def test_a_malformed_row_is_named_and_none_is_loaded(
    billing: Billing, changes: dict[str, Any], field: str
) -> None:
    refused = await refusal(load(billing, row("96365"), row(**{"code": "96372"} | changes)))
    assert (refused.reason, [each for each, _ in refused.faults]) == ("BAD_REQUEST", [field])
    assert await billing.count("service_code") == 0


async def test_a_thousand_rows_are_loaded_at_once_and_no_more(billing: Billing) -> None:
    many = [row(f"{n:05}") for n in range(10_000, 11_001)]
    assert (await refusal(load(billing, *many))).faults == [("rows", "repeated.max_items")]
    assert await load(billing, *many[:1000]) == (1000, 0, 0)
    seen, token = list[str](), ""
    for _ in range(5):
        request = pb.ListServiceCodesRequest(page_size=200, page_token=token)
        page = await billing.svc.call(billing.svc.stub(CodeServiceStub).ListServiceCodes, request)
        seen, token = [*seen, *(each.code for each in page.service_code_rows)], page.next_page_token
    assert (seen, token) == ([each.code for each in many[:1000]], "")


async def test_a_page_is_of_one_visit_type_and_its_token_of_one_question(billing: Billing) -> None:
    await load(billing, row("96365"), row("96366"), row("96372", visit_type_code="booster"))
    assert [each.code for each in await listed(billing, visit_type_code="booster")] == ["96372"]
    request = pb.ListServiceCodesRequest(visit_type_code="infusion", page_size=1)
    stub = billing.svc.stub(CodeServiceStub)
    token = (await billing.svc.call(stub.ListServiceCodes, request)).next_page_token
    assert [each.code for each in await listed(billing, visit_type_code="infusion", page_size=1, page_token=token)] == [
        "96366"
    ]
    assert (await refusal(listed(billing, page_token=token))).reason == "BAD_PAGE_TOKEN"


async def test_a_code_ends_and_may_go_on_longer(billing: Billing) -> None:
    await load(billing, row("96365", BEFORE))
    [found] = await listed(billing)
    ended = await end(billing, found, LAST)
    assert (ended.end_date, ended.etag) == (to_date(LAST), '"2"')
    assert await listed(billing) == [ended]
    assert await codes_of(billing, SINCE, "infusion", "iv", "") == []
    await end(billing, ended, SINCE)
    assert await codes_of(billing, SINCE, "infusion", "iv", "") == ["96365"]


async def test_an_end_that_cannot_be_is_refused(billing: Billing) -> None:
    await load(billing, row("96365", BEFORE, LAST), row("96365", SINCE), row("S0013", BEFORE, LAST))
    found = {(each.code, each.etag): each for each in await listed(billing)}
    first = next(each for each in await listed(billing) if each.HasField("end_date") and each.code == "96365")
    for refused, reason in (
        (await refusal(end(billing, first, date(2025, 6, 30))), "CODE_DATES_REVERSED"),
        (await refusal(end(billing, first, SINCE)), "CODES_OVERLAP"),
        (await refusal(end(billing, found["S0013", '"1"'], SINCE)), "CODE_NOT_VALID"),
    ):
        assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, reason)
        assert refused.faults == [("end_date", reason)]
    for last in (LAST, date(2025, 6, 30)):  # What is stale is so before anything else.
        assert (await refusal(end(billing, first, last, etag='"2"'))).code == StatusCode.ABORTED
    unknown = await refusal(end(billing, first, LAST, service_code_id=to_wire("servicecode", new_id())))
    assert (unknown.code, unknown.reason) == (StatusCode.NOT_FOUND, "SERVICE_CODE_NOT_FOUND")
    assert {each.etag for each in await listed(billing)} == {'"1"'}


async def test_of_two_ends_at_once_one_is_stale(billing: Billing) -> None:
    await load(billing, row("96365"))
    [found] = await listed(billing)
    id, request = from_wire("servicecode", found.id), pb.EndServiceCodeRequest(request_id=str(uuid4()))
    async with billing.held_open(request, lambda store: codes.end_service_code(store, id, 1, date(2026, 5, 1))):
        second = asyncio.create_task(refusal(end(billing, found, date(2026, 6, 1))))
        await billing.someone_waits()
    assert (await second).reason == "STALE_ETAG"
    assert [each.end_date for each in await listed(billing)] == [to_date(date(2026, 5, 1))]


async def test_of_two_loads_at_once_the_second_sees_the_first(billing: Billing) -> None:
    kind, request = VisitKind("infusion", "", ""), pb.LoadServiceCodesRequest(request_id=str(uuid4()))
    told = ServiceCodeRow(new_id(), kind, ServiceCode("96365", 1), BEFORE, None)
    async with billing.held_open(request, lambda store: codes.load_service_codes(store, [told])):
        second = asyncio.create_task(refusal(load(billing, row("96365", SINCE))))
        await billing.someone_waits()
    assert (await second).faults == [("rows[0]", "CODES_OVERLAP")]
    assert await billing.count("service_code") == 1


async def test_the_database_refuses_a_code_that_is_valid_twice(billing: Billing) -> None:
    await load(billing, row("96365", BEFORE))
    again = """
        INSERT INTO service_code (chain_id, id, visit_type_code, route_code, band_code, code, modifiers, units,
            effective_date)
        VALUES ($1, $2, 'infusion', '', '', '96365', '{}', 1, '2026-01-01')
    """
    with pytest.raises(asyncpg.ExclusionViolationError) as refused:
        await billing.execute(again, billing.svc.chain_id, new_id())
    assert refused.value.constraint_name == "service_code_one_at_a_time"
    await load_diagnoses(billing, ("F33.2", BEFORE, None))
    with pytest.raises(asyncpg.ExclusionViolationError) as refused:
        await billing.execute(
            "INSERT INTO diagnosis_code VALUES ($1, 'F33.2', '2026-01-01', NULL)", billing.svc.chain_id
        )
    assert refused.value.constraint_name == "diagnosis_code_one_at_a_time"


async def test_a_code_set_is_the_chains_own(billing: Billing) -> None:
    await load(billing, row("96365"))
    await load_diagnoses(billing, ("F33.2", BEFORE, None))
    [found] = await listed(billing)
    for role in ("ROLE_SITE_MANAGER", "ROLE_BILLING", "ROLE_FRONT_DESK", "ROLE_AUDITOR", "ROLE_PATIENT"):
        token = billing.svc.token(role)
        for refused in (
            await refusal(load(billing, row("96372"), token=token)),
            await refusal(end(billing, found, SINCE, token)),
            await refusal(load_diagnoses(billing, ("F32.9", BEFORE, None), token=token)),
        ):
            assert refused.code == StatusCode.PERMISSION_DENIED
        if role != "ROLE_PATIENT":
            assert await listed(billing, token=token) == [found]
    other_chain = billing.svc.token(chain_id=new_id())
    assert await listed(billing, token=other_chain) == []
    assert (await refusal(end(billing, found, SINCE, other_chain))).reason == "SERVICE_CODE_NOT_FOUND"
    assert (await billing.count("service_code"), await billing.count("diagnosis_code")) == (1, 1)


async def test_diagnosis_codes_are_kept_with_their_dot(billing: Billing) -> None:
    assert await load_diagnoses(billing, ("F332", BEFORE, None), ("F33.9", BEFORE, LAST), ("F99", BEFORE, None)) == (
        3,
        0,
        0,
    )
    assert await load_diagnoses(billing, ("F33.2", BEFORE, None), ("F339", BEFORE, SINCE)) == (0, 1, 1)
    request = pb.ListDiagnosisCodesRequest(page_size=2)
    stub = billing.svc.stub(CodeServiceStub)
    first = await billing.svc.call(stub.ListDiagnosisCodes, request)
    assert [(each.code, each.HasField("end_date")) for each in first.diagnosis_codes] == [
        ("F33.2", False),
        ("F33.9", True),
    ]
    request.page_token = first.next_page_token
    second = await billing.svc.call(stub.ListDiagnosisCodes, request)
    assert ([each.code for each in second.diagnosis_codes], second.next_page_token) == (["F99"], "")
    later = await billing.svc.call(
        stub.ListDiagnosisCodes, pb.ListDiagnosisCodesRequest(date=to_date(date(2026, 1, 2)))
    )
    assert [each.code for each in later.diagnosis_codes] == ["F33.2", "F99"]


async def test_diagnosis_codes_that_overlap_are_named_and_none_is_loaded(billing: Billing) -> None:
    refused = await refusal(
        load_diagnoses(billing, ("F33.2", BEFORE, None), ("F32.9", BEFORE, None), ("F332", SINCE, None))
    )
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "CODES_OVERLAP")
    assert refused.faults == [("rows[2]", "CODES_OVERLAP")]
    assert await billing.count("diagnosis_code") == 0


async def test_codes_that_are_not_valid_on_the_day_are_named(billing: Billing) -> None:
    await load(billing, row("S0013", BEFORE, LAST), row("96365", BEFORE), row("96365", BEFORE, route_code="iv"))
    await load_diagnoses(billing, ("F33.2", BEFORE, LAST), ("F32.9", BEFORE, None))
    found = await find(billing, LAST, ["S0013", "96365"], ["F332", "F32.9"])
    assert found == (["96365", "S0013"], ["F32.9", "F33.2"])
    refused = await refusal(find(billing, SINCE, ["96365", "S0013", "96372"], ["F329", "F332"]))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "CODE_NOT_VALID")
    assert [field for field, _ in refused.faults] == ["service_codes[1]", "service_codes[2]", "diagnosis_codes[1]"]
    assert refused.metadata == {"day": "2026-01-01"}


async def test_a_diagnosis_is_valid_from_its_first_day_to_its_last(billing: Billing) -> None:
    await load_diagnoses(billing, ("F33.2", BEFORE, LAST))

    async def valid(store: BillingStore) -> list[bool]:
        days = (date(2025, 6, 30), BEFORE, LAST, SINCE)
        return [await store.diagnosis_valid(code, day) for code in ("F332", "F33.2") for day in days]

    found = await billing.svc.db.read(billing.svc.inside("Test"), pb.FindCodesRequest(), BillingStore, valid)
    assert found == [False, True, True, False] * 2


async def test_a_file_is_loaded_by_the_command_and_a_row_at_fault_is_that_of_the_file(
    billing: Billing, tmp_path: Path
) -> None:
    client = Client(billing.svc.channel, billing.svc.token)
    sample = read_services(FOLDER / "codes.csv")
    assert await loaded(client, sample) == f"{len(sample)} codes added, 0 changed, 0 there already"
    assert await loaded(client, sample) == f"0 codes added, 0 changed, {len(sample)} there already"
    assert sorted(each.code for each in await all_services(client)) == sorted(each.code for each in sample)
    assert [each.code for each in await all_services(client, to_date(SINCE), "spravato")] == ["G2082", "G2083", "J0013"]
    many = tmp_path / "many.csv"
    lines = [f"other,,,{n},1,,2026-01-01," for n in range(10_000, 11_001)]
    many.write_text("\n".join([",".join(SERVICE_COLUMNS), *lines, "other,,,11000,1,,2026-06-01,"]))
    with pytest.raises(LocalError, match=r"CODES_OVERLAP.*row 1003: is valid on a day"):
        await loaded(client, read_services(many))
    assert await billing.count("service_code") == len(sample) + 1000  # The first part.


async def test_a_file_of_diagnoses_is_loaded_by_the_command(billing: Billing, tmp_path: Path) -> None:
    client, path = Client(billing.svc.channel, billing.svc.token), tmp_path / "icd.csv"
    path.write_text("code,effective_date,end_date\nF332,2025-10-01,\nF33.9,2025-10-01,2026-09-30\n")
    assert await loaded(client, read_diagnoses(path)) == "2 codes added, 0 changed, 0 there already"
    assert [each.code for each in await all_diagnoses(client, to_date(date(2026, 10, 1)))] == ["F33.2"]
