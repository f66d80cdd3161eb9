"""Rows of another system, each answered by itself."""

import asyncio
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.patients.v1.patient_pb2 import Patient
from atoll.patients.v1.patient_service_pb2 import ImportPatientsResponse
from chassis.ids import new_id, to_wire
from services.patients.domain.patients import Holder, Identifier
from services.patients.store import PatientsStore
from tests.support.patients import Desk, desk, open_desk
from tests.support.patients_merges import Merges
from tests.support.service import refusal

__all__ = ["desk"]

CREATED, THERE, REFUSED = (
    ImportPatientsResponse.OUTCOME_CREATED,
    ImportPatientsResponse.OUTCOME_ALREADY_THERE,
    ImportPatientsResponse.OUTCOME_REFUSED,
)
SSN = {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "999-88-8619"}


def row(desk: Desk, value: str, **changes: Any) -> Patient:
    return desk.told(**{"identifiers": [{"system": "urn:old", "value": value}]} | changes)


def remarks(found: Any) -> list[tuple[str, str]]:
    return [(each.field, each.rule) for each in found]


async def test_rows_are_registered_in_their_order(desk: Desk) -> None:
    results = await desk.import_rows(row(desk, "1", given_names=["Ana"]), row(desk, "2", given_names=["Bea"]))
    assert [result.outcome for result in results] == [CREATED, CREATED]
    assert [(await desk.get(result.patient_id)).given_names[0] for result in results] == ["Ana", "Bea"]
    assert await desk.facts() == ["patients.v1.patient.registered"] * 2
    assert await desk.found("bea") == ["Bea"]


async def test_an_import_run_twice_adds_nothing(desk: Desk) -> None:
    rows = [row(desk, "1"), row(desk, "2")]
    first, second = await desk.import_rows(*rows), await desk.import_rows(*rows)
    assert [result.outcome for result in second] == [THERE, THERE]
    assert [result.patient_id for result in second] == [result.patient_id for result in first]
    assert [await desk.service.count(table) for table in ("patient", "outbox")] == [2, 2]


async def test_the_same_patient_twice_in_one_batch_is_registered_once(desk: Desk) -> None:
    one, other = await desk.import_rows(row(desk, "1"), row(desk, "1", given_names=["Bea"]))
    assert (one.outcome, other.outcome, other.patient_id) == (CREATED, THERE, one.patient_id)


async def test_two_imports_of_the_same_rows_at_once_register_each_patient_once(desk: Desk) -> None:
    rows = [row(desk, str(n)) for n in range(20)]
    answers = await asyncio.gather(*(desk.import_rows(*rows) for _ in range(4)))
    assert sum(result.outcome == CREATED for results in answers for result in results) == 20
    assert await desk.service.count("patient") == 20


async def test_imports_that_share_a_few_rows_in_another_order_register_each_patient_once(desk: Desk) -> None:
    """None waits for another at its begin: the unique keys stop the second, which is then done again."""
    rows = [row(desk, str(n)) for n in range(60)]
    batches = [rows[:40], rows[20:], list(reversed(rows)), rows[30:50]]
    answers = await asyncio.gather(*(desk.import_rows(*batch) for batch in batches))
    assert sum(result.outcome == CREATED for results in answers for result in results) == 60
    assert not [result for results in answers for result in results if result.outcome == REFUSED]
    assert [await desk.service.count(table) for table in ("patient", "patient_identifier", "outbox")] == [60, 60, 60]


async def test_of_two_imports_that_both_saw_an_identifier_free_the_second_finds_its_patient(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_have_read, reads = asyncio.Barrier(2), 0

    class Hesitant(PatientsStore):
        async def holders(self, identifiers: Collection[Identifier]) -> dict[Identifier, Holder]:
            nonlocal reads
            found, reads = await super().holders(identifiers), reads + 1
            if reads <= 2:
                await both_have_read.wait()
            return found

    monkeypatch.setattr("services.patients.rpc.patients.PatientsStore", Hesitant)
    [[one], [other]] = await asyncio.gather(desk.import_rows(row(desk, "1")), desk.import_rows(row(desk, "1")))
    assert sorted([one.outcome, other.outcome]) == [CREATED, THERE]
    assert (one.patient_id, reads) == (other.patient_id, 3)
    assert [await desk.service.count(table) for table in ("patient", "outbox")] == [1, 1]


async def test_an_import_does_not_wait_for_another_of_other_patients(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, go_on, calls = asyncio.Event(), asyncio.Event(), 0

    class Held(PatientsStore):
        async def holders(self, identifiers: Collection[Identifier]) -> dict[Identifier, Holder]:
            nonlocal calls
            calls += 1
            if calls == 1:
                held.set()
                await go_on.wait()
            return await super().holders(identifiers)

    monkeypatch.setattr("services.patients.rpc.patients.PatientsStore", Held)
    first = asyncio.create_task(desk.import_rows(*(row(desk, f"a{n}") for n in range(200))))
    await held.wait()
    second = await asyncio.wait_for(desk.import_rows(*(row(desk, f"b{n}") for n in range(200))), timeout=5)
    go_on.set()
    assert {result.outcome for result in (*second, *await first)} == {CREATED}


async def test_a_row_whose_identifiers_belong_to_several_patients_is_refused_until_they_are_merged(desk: Desk) -> None:
    merges = Merges(desk)
    ana, bea = [await desk.create(identifiers=[{"system": "urn:old", "value": value}]) for value in ("1", "2")]
    told = row(desk, "1", identifiers=[*ana.identifiers, *bea.identifiers])
    refused, other = await desk.import_rows(told, row(desk, "3"))
    assert (refused.outcome, refused.patient_id, other.outcome) == (REFUSED, "", CREATED)
    assert remarks(refused.faults) == [("identifiers", "IDENTIFIER_TAKEN")]
    await merges.merge(ana, bea)
    [known] = await desk.import_rows(told)
    assert (known.outcome, known.patient_id) == (THERE, ana.id)


async def test_whom_no_other_system_named_is_known_by_the_id_of_their_record(desk: Desk) -> None:
    merges, ana, bea = Merges(desk), await desk.create(), await desk.create()
    await merges.merge(ana, bea)
    for told in (ana, bea):
        own = {"system": "urn:atoll:patient", "value": told.id}
        for mrn in (told.mrn, "", "NOBODYS"):
            [known] = await desk.import_rows(row(desk, "", identifiers=[own], mrn=mrn))
            assert (known.outcome, known.patient_id) == (THERE, ana.id)
    assert await desk.service.count("patient") == 2


async def test_a_record_number_that_is_somebody_elses_is_refused_whoever_is_known(desk: Desk) -> None:
    ana, bea = await desk.create(identifiers=[{"system": "urn:old", "value": "1"}]), await desk.create()
    own = {"system": "urn:atoll:patient", "value": bea.id}
    for identifiers, mrn in ((ana.identifiers, bea.mrn), ([own], ana.mrn)):
        [refused] = await desk.import_rows(row(desk, "", identifiers=identifiers, mrn=mrn))
        assert (refused.outcome, remarks(refused.faults)) == (REFUSED, [("mrn", "MRN_TAKEN")])


async def test_a_record_number_that_stands_among_identifiers_makes_a_patient_known(desk: Desk) -> None:
    """As of a record that took in another, whose number it keeps so."""
    rows = [row(desk, "", identifiers=[{"system": "urn:atoll:mrn", "value": "a-77"}]), row(desk, "2")]
    first, again = await desk.import_rows(*rows), await desk.import_rows(*rows)
    assert [result.outcome for result in (*first, *again)] == [CREATED, CREATED, THERE, THERE]
    assert again[0].patient_id == first[0].patient_id
    assert await desk.service.count("patient") == 2


async def test_nobody_gets_a_record_number_that_stands_among_the_identifiers_of_another(desk: Desk) -> None:
    await desk.create(identifiers=[{"system": "urn:atoll:mrn", "value": "A-77"}])
    assert (await refusal(desk.create(mrn="A-77"))).reason == "MRN_TAKEN"
    [refused] = await desk.import_rows(row(desk, "1", mrn="A-77"))
    assert (refused.outcome, remarks(refused.faults)) == (REFUSED, [("mrn", "MRN_TAKEN")])


async def test_the_number_of_a_record_of_the_chain_makes_nobody_known(desk: Desk) -> None:
    """Another chain may have given it out, too: the row would become part of somebody else's record."""
    await desk.create(mrn="A-77")
    rows = [row(desk, "", identifiers=[{"system": "urn:atoll:mrn", "value": value}]) for value in ("A-77", "B-78")]
    refused, made, also_refused = await desk.import_rows(rows[0], row(desk, "1", mrn="B-78"), rows[1])
    assert [each.outcome for each in (refused, made, also_refused)] == [REFUSED, CREATED, REFUSED]
    assert remarks([*refused.faults, *also_refused.faults]) == [("identifiers[0]", "MRN_TAKEN")] * 2


async def test_an_id_of_no_record_of_the_chain_is_an_identifier_as_any_other(desk: Desk) -> None:
    bea = await desk.create()
    for value in (to_wire("patient", new_id()), "patient_!", f"site_{bea.id.removeprefix('patient_')}"):
        told = {"identifiers": [{"system": "urn:atoll:patient", "value": value}]}
        [refused] = await desk.import_rows(row(desk, "", mrn=bea.mrn, **told))
        assert (refused.outcome, remarks(refused.faults)) == (REFUSED, [("mrn", "MRN_TAKEN")])
        [made] = await desk.import_rows(row(desk, "", **told))
        [again] = await desk.import_rows(row(desk, "", **told))
        assert (made.outcome, again.outcome, again.patient_id) == (CREATED, THERE, made.patient_id)


async def test_nobody_is_registered_under_the_id_of_another_record(desk: Desk) -> None:
    bea = await desk.create()
    taken = [{"system": "urn:atoll:patient", "value": bea.id}]
    assert (await refusal(desk.create(identifiers=taken))).reason == "IDENTIFIER_TAKEN"


async def test_one_identifier_of_several_makes_a_patient_known(desk: Desk) -> None:
    [first] = await desk.import_rows(row(desk, "1"))
    several = [{"system": "urn:new", "value": "9"}, {"system": "urn:old", "value": "1"}]
    [again] = await desk.import_rows(row(desk, "", identifiers=several))
    assert (again.outcome, again.patient_id) == (THERE, first.patient_id)
    assert await desk.service.count("patient_identifier") == 1


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"family_name": "Ru\x00iz"}, ("family_name", "string.pattern")),
        ({"given_names": [], "family_name": ""}, ("family_name", "NAME_MISSING")),
        ({"birth_date": None}, ("birth_date", "BIRTH_DATE_MISSING")),
        ({"birth_date": {"year": 1974}}, ("birth_date", "date.exists")),
        ({"birth_date": {"year": 2030, "month": 1, "day": 1}}, ("birth_date", "BIRTH_DATE_IN_FUTURE")),
        ({"time_zone": "Mars/Olympus"}, ("time_zone", "TIME_ZONE_UNKNOWN")),
        ({"identifiers": []}, ("identifiers", "IDENTIFIER_MISSING")),
        ({"identifiers": [SSN]}, ("identifiers", "IDENTIFIER_MISSING")),
        ({"home_site_id": "site_!"}, ("home_site_id", "string.typeid")),
        ({"home_site_id": "site_" + "!" * 26}, ("", "BAD_ID")),
        ({"home_site_id": ""}, ("home_site_id", "HOME_SITE_MISSING")),
        ({"home_site_id": to_wire("site", new_id())}, ("", "NOT_YET_KNOWN")),
        ({"mrn": "MRN-1"}, ("mrn", "MRN_TAKEN")),
    ],
)
async def test_a_bad_row_among_good_ones_is_refused_alone(
    desk: Desk, changes: dict[str, Any], fault: tuple[str, str]
) -> None:
    await desk.create(mrn="MRN-1")
    good, bad, also_good = await desk.import_rows(row(desk, "1"), row(desk, "2", **changes), row(desk, "3"))
    assert (good.outcome, bad.outcome, also_good.outcome) == (CREATED, REFUSED, CREATED)
    assert (remarks(bad.faults), bad.patient_id) == ([fault], "")
    assert await desk.service.count("patient") == 3


async def test_rows_of_a_site_that_is_not_the_callers_are_refused(desk: Desk) -> None:
    token = desk.service.token("ROLE_SITE_MANAGER", sites=[desk.site_id])
    elsewhere = row(desk, "2", home_site_id=to_wire("site", desk.other_site_id))
    own, others = await desk.import_rows(row(desk, "1"), elsewhere, token=token)
    assert (own.outcome, others.outcome, remarks(others.faults)) == (CREATED, REFUSED, [("", "ACCESS_DENIED")])


async def test_what_is_never_kept_or_cannot_be_is_left_out_and_said(desk: Desk) -> None:
    points = [{"system": 1, "value": "12"}, {"system": 1, "value": "555-929-9025"}, {"system": 2, "value": "ana@"}]
    kept = {"system": "urn:old", "value": "1"}
    [result] = await desk.import_rows(row(desk, "", contact_points=points, identifiers=[SSN, kept]))
    assert result.outcome == CREATED
    assert sorted(remarks(result.notes)) == [
        ("contact_points[0].value", "PHONE_NOT_POSSIBLE"),
        ("contact_points[1].value", "PHONE_NOT_VALID"),
        ("contact_points[2].value", "EMAIL_NOT_POSSIBLE"),
        ("identifiers[0]", "IDENTIFIER_NEVER_KEPT"),
    ]
    patient = await desk.get(result.patient_id)
    assert [point.value for point in patient.contact_points] == ["+15559299025"]
    assert [each.value for each in patient.identifiers] == ["1"]
    assert await desk.service.admin.fetchval("SELECT count(*) FROM patient_identifier WHERE value LIKE '999%'") == 0


async def test_no_remark_repeats_what_a_row_holds(desk: Desk) -> None:
    secret = "Zyx\x00wvut"
    [result] = await desk.import_rows(row(desk, secret, family_name=secret, contact_points=[{"value": secret}]))
    assert result.outcome == REFUSED
    assert "Zyx" not in str(result)


async def test_a_patient_known_is_left_as_they_are(desk: Desk) -> None:
    [first] = await desk.import_rows(row(desk, "1"))
    await desk.import_rows(row(desk, "1", given_names=["Bea"], birth_date=None))
    assert list((await desk.get(first.patient_id)).given_names) == ["Ana"]


async def test_the_same_request_is_answered_the_same(desk: Desk) -> None:
    request_id, rows = str(uuid4()), [row(desk, "1"), row(desk, "2", birth_date=None)]
    first = await desk.import_rows(*rows, request_id=request_id)
    assert await desk.import_rows(*rows, request_id=request_id) == first


async def test_a_batch_of_refused_rows_only_is_answered(desk: Desk) -> None:
    [result] = await desk.import_rows(row(desk, "1", birth_date=None))
    assert result.outcome == REFUSED
    assert await desk.service.count("outbox") == 0


async def test_two_hundred_rows_are_a_batch_and_one_more_is_not(desk: Desk) -> None:
    rows = [row(desk, str(n)) for n in range(201)]
    assert len(await desk.import_rows(*rows[:200])) == 200
    refused = await refusal(desk.import_rows(*rows))
    assert (refused.code, refused.faults) == (StatusCode.INVALID_ARGUMENT, [("rows", "repeated.max_items")])


async def test_another_chain_knows_none_of_the_identifiers(desk: Desk) -> None:
    await desk.import_rows(row(desk, "1"))
    chain_id = new_id()
    await desk.service.admin.execute("INSERT INTO site VALUES ($1, $2, 'America/Denver')", chain_id, desk.site_id)
    token = desk.service.token(chain_id=chain_id)
    assert [result.outcome for result in await desk.import_rows(row(desk, "1"), token=token)] == [CREATED]


@pytest.mark.parametrize("role", ["ROLE_FRONT_DESK", "ROLE_CLINICIAN", "ROLE_AUDITOR"])
async def test_imports_are_for_those_who_run_sites_and_for_systems(desk: Desk, role: str) -> None:
    refused = await refusal(desk.import_rows(row(desk, "1"), token=desk.service.token(role)))
    assert refused.reason == "ACCESS_DENIED"


@pytest_asyncio.fixture
async def new_desk(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Desk]:
    async with open_desk(postgres_url, issuer_folder, new=True) as desk:
        yield desk


async def test_an_import_into_a_small_table_does_not_scan_it_for_each_row(new_desk: Desk) -> None:
    """PostgreSQL planned the check of a foreign key for five rows, and would go on so while the table grows."""
    await new_desk.import_rows(*(row(new_desk, f"few {n}") for n in range(5)))
    await new_desk.service.admin.execute("ANALYZE")
    for turn in range(4):
        await new_desk.import_rows(*(row(new_desk, f"{turn} {n}") for n in range(200)))
    for _ in range(100):  # Statistics arrive with a delay, unless the connection is asked for them.
        async with new_desk.service.pool.acquire() as conn:
            await conn.execute("SELECT pg_stat_force_next_flush()")
        read = "SELECT seq_tup_read, n_tup_ins FROM pg_stat_user_tables WHERE relname = 'patient'"
        scanned, inserted = await new_desk.service.admin.fetchrow(read) or (0, 0)
        if inserted >= 805:
            break
        await asyncio.sleep(0.1)
    assert inserted == 805
    assert scanned < 300_000  # The first 200 rows fit on a few pages: they are rightly scanned.
