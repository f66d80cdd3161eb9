"""Records that may be one person's: told of at registration, found, listed, dismissed and merged."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.patients.v1 import duplicate_pb2
from atoll.patients.v1 import duplicate_service_pb2 as pb
from atoll.patients.v1 import patient_service_pb2 as patient_pb
from atoll.patients.v1.duplicate_service_pb2_grpc import DuplicateServiceStub
from atoll.patients.v1.patient_pb2 import Patient
from chassis.ids import from_wire, new_id, to_wire
from services.patients.use_cases.records import birth_date_lock
from tests.integration.test_patients_races import until_a_lock_is_awaited
from tests.support.patients import Desk, desk
from tests.support.patients_merges import Merges
from tests.support.service import refusal

__all__ = ["desk"]

PHONE = {"system": "CONTACT_SYSTEM_PHONE", "value": "+1 505 842 2000"}
LIKELY, POSSIBLE = duplicate_pb2.DUPLICATE_GRADE_LIKELY, duplicate_pb2.DUPLICATE_GRADE_POSSIBLE
COUNT = "SELECT count(*) FROM duplicate_pair"


@dataclass
class Duplicates:
    desk: Desk

    def __post_init__(self) -> None:
        self.stub: Any = self.desk.service.stub(DuplicateServiceStub)

    async def register(self, token: str | None = None, *, refuse: bool = False, **changes: Any) -> Any:
        request = patient_pb.CreatePatientRequest(
            request_id=str(uuid4()), patient=self.desk.told(**changes), refuse_likely_duplicates=refuse
        )
        return await self.desk.service.call(self.desk.patients.CreatePatient, request, token)

    async def elsewhere(self, **changes: Any) -> Patient:
        return await self.desk.create(home_site_id=to_wire("site", self.desk.other_site_id), **changes)

    async def of(self, patient_id: str, token: str | None = None) -> list[Any]:
        request = pb.FindDuplicatesRequest(patient_id=patient_id)
        return list((await self.desk.service.call(self.stub.FindDuplicates, request, token)).duplicates)

    async def score(self, *patient_ids: str, token: str | None = None, request_id: str = "") -> list[Any]:
        request = pb.ScoreDuplicatesRequest(request_id=request_id or str(uuid4()), patient_ids=patient_ids)
        return list((await self.desk.service.call(self.stub.ScoreDuplicates, request, token)).pairs)

    async def page(self, token: str | None = None, **asked: Any) -> pb.ListDuplicatesResponse:
        answer: pb.ListDuplicatesResponse = await self.desk.service.call(
            self.stub.ListDuplicates, pb.ListDuplicatesRequest(**asked), token
        )
        return answer

    async def listed(self, token: str | None = None, **asked: Any) -> list[set[str]]:
        return [{each.first.patient_id, each.second.patient_id} for each in (await self.page(token, **asked)).pairs]

    async def dismiss(self, one: str, other: str, token: str | None = None, **changes: Any) -> Any:
        fields = {"request_id": str(uuid4()), "patient_id": one, "other_patient_id": other, "reason": "twins"}
        request = pb.DismissDuplicateRequest(**fields | changes)
        return (await self.desk.service.call(self.stub.DismissDuplicate, request, token)).pair


@pytest_asyncio.fixture
async def duplicates(desk: Desk) -> AsyncIterator[Duplicates]:
    yield Duplicates(desk)


async def test_whoever_registers_a_patient_is_told_who_is_likely_the_same(desk: Desk, duplicates: Duplicates) -> None:
    first = await desk.create()
    answer = await duplicates.register(given_names=["ANA"])
    [match] = answer.likely_duplicates
    assert (match.patient_id, match.grade, match.home_site_id) == (first.id, LIKELY, first.home_site_id)
    assert 0.95 <= match.score <= 1
    assert await desk.get(answer.patient.id) == answer.patient
    assert await duplicates.listed() == [{first.id, answer.patient.id}]


async def test_somebody_else_is_told_of_nobody(desk: Desk, duplicates: Duplicates) -> None:
    await desk.create()
    answer = await duplicates.register(given_names=["Peter"], family_name="Huber")
    assert list(answer.likely_duplicates) == []
    assert await desk.service.admin.fetchval(COUNT) == 0


async def test_who_asks_for_it_registers_nobody_twice(desk: Desk, duplicates: Duplicates) -> None:
    first = await desk.create()
    refused = await refusal(duplicates.register(refuse=True))
    assert refused.code is StatusCode.FAILED_PRECONDITION
    assert (refused.reason, refused.metadata) == ("LIKELY_DUPLICATE", {"patient_ids": first.id})
    assert await desk.service.admin.fetchval("SELECT count(*) FROM patient") == 1
    assert await desk.service.admin.fetchval(COUNT) == 0


async def test_of_two_who_refuse_duplicates_at_once_one_is_registered(desk: Desk, duplicates: Duplicates) -> None:
    lock = str(birth_date_lock(desk.service.chain_id, date(1980, 5, 17)))
    await desk.service.admin.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", lock)
    both = [asyncio.create_task(duplicates.register(refuse=True)) for _ in range(2)]
    await until_a_lock_is_awaited(desk)
    await desk.service.admin.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", lock)
    answers = await asyncio.gather(*both, return_exceptions=True)
    assert len([each for each in answers if not isinstance(each, BaseException)]) == 1
    assert await desk.service.admin.fetchval("SELECT count(*) FROM patient") == 1


async def test_a_duplicate_at_a_site_the_caller_does_not_see_is_found_and_not_shown(
    desk: Desk, duplicates: Duplicates
) -> None:
    elsewhere = await duplicates.elsewhere()
    token = desk.service.token("ROLE_FRONT_DESK", sites=[desk.site_id])
    answer = await duplicates.register(token)
    assert [each.patient_id for each in answer.likely_duplicates] == [elsewhere.id]
    [found] = await duplicates.of(answer.patient.id, token)
    assert (found.match.patient_id, found.match.home_site_id) == (elsewhere.id, elsewhere.home_site_id)
    assert not found.HasField("card")
    [pair] = (await duplicates.page(token)).pairs
    shown = {each.patient_id: each.HasField("card") for each in (pair.first, pair.second)}
    assert shown == {answer.patient.id: True, elsewhere.id: False}
    [seen] = await duplicates.of(answer.patient.id)
    assert (list(seen.card.given_names), seen.card.family_name) == (["Ana"], "Ruiz")


@pytest.mark.parametrize(
    "other",
    [
        {"birth_date": {"year": 1980, "month": 6, "day": 17}},  # The family name with the year.
        {"birth_date": {"year": 1981, "month": 5, "day": 17}, "contact_points": [PHONE]},
        {"family_name": "Ruis"},  # The birth date.
        {"birth_date": {"year": 1981, "month": 5, "day": 17}, "identifiers": [{"system": "urn:b", "value": "12345"}]},
    ],
)
async def test_they_are_found_by_whatever_they_share(desk: Desk, duplicates: Duplicates, other: Any) -> None:
    woman = {"gender": "ADMINISTRATIVE_GENDER_FEMALE"}
    first = await desk.create(contact_points=[PHONE], identifiers=[{"system": "urn:a", "value": "12345"}], **woman)
    second = await desk.create(**woman | other)
    assert [each.match.patient_id for each in await duplicates.of(second.id)] == [first.id]
    assert [each.match.patient_id for each in await duplicates.of(first.id)] == [second.id]


async def test_a_record_number_that_another_system_tells_is_found(desk: Desk, duplicates: Duplicates) -> None:
    first = await desk.create(birth_date={"year": 1981, "month": 5, "day": 17})
    second = await desk.create(identifiers=[{"system": "urn:b", "value": first.mrn}])
    assert [each.match.patient_id for each in await duplicates.of(second.id)] == [first.id]
    assert [each.match.patient_id for each in await duplicates.of(first.id)] == [second.id]


async def test_day_and_month_that_changed_places_are_found(desk: Desk, duplicates: Duplicates) -> None:
    first = await desk.create(birth_date={"year": 1980, "month": 5, "day": 7})
    second = await desk.create(given_names=["Ana"], birth_date={"year": 1980, "month": 7, "day": 5})
    [found] = await duplicates.of(second.id)
    assert (found.match.patient_id, found.match.grade) == (first.id, POSSIBLE)


async def test_imported_patients_are_scored_when_that_is_asked_for(desk: Desk, duplicates: Duplicates) -> None:
    first = await desk.create()
    [row] = await desk.import_rows(desk.told(identifiers=[{"system": "urn:old", "value": "1"}]))
    assert await duplicates.listed() == []
    request_id = str(uuid4())
    [pair] = await duplicates.score(row.patient_id, request_id=request_id)
    assert {pair.first_patient_id, pair.second_patient_id} == {first.id, row.patient_id}
    assert pair.grade == LIKELY
    assert await duplicates.score(row.patient_id, request_id=request_id) == [pair]
    assert await duplicates.score(first.id, row.patient_id) == [pair]
    assert await duplicates.listed() == [{first.id, row.patient_id}]


async def test_a_dismissed_pair_comes_back_when_what_is_compared_changes(desk: Desk, duplicates: Duplicates) -> None:
    first, second = await desk.create(), await desk.create()
    done = await duplicates.dismiss(second.id, first.id)
    assert (done.state, done.dismiss_reason, done.dismissed_by) == (pb.DUPLICATE_STATE_DISMISSED, "twins", "user")
    assert await duplicates.listed() == []
    assert await duplicates.listed(state=pb.DUPLICATE_STATE_DISMISSED) == [{first.id, second.id}]
    await duplicates.score(first.id, second.id)
    changed = await desk.update(second, prefix="Dr.")
    assert await duplicates.listed() == []
    await desk.update(changed, given_names=["Anna"])
    assert await duplicates.listed() == [{first.id, second.id}]


async def test_a_pair_leaves_the_worklist_when_a_change_makes_them_two(desk: Desk, duplicates: Duplicates) -> None:
    await desk.create()
    await desk.update(await desk.create(), given_names=["Peter"], family_name="Huber")
    assert await desk.service.admin.fetchval(COUNT) == 0


async def test_merged_records_are_none_s_duplicates_and_their_survivor_is(desk: Desk, duplicates: Duplicates) -> None:
    merges = Merges(desk)
    first, second, third = await desk.create(), await desk.create(), await desk.create()
    await duplicates.dismiss(second.id, third.id)
    await merges.merge(first, second)
    assert await duplicates.listed(state=pb.DUPLICATE_STATE_MERGED) == [{first.id, second.id}]
    assert await duplicates.listed() == [{first.id, third.id}]
    assert [each.match.patient_id for each in await duplicates.of(third.id)] == [first.id]
    assert [each.match.patient_id for each in await duplicates.of(second.id)] == [third.id]
    await merges.unmerge(second.id)
    assert await duplicates.listed(state=pb.DUPLICATE_STATE_MERGED) == []
    assert sorted(map(sorted, await duplicates.listed())) == sorted(
        [sorted([first.id, second.id]), sorted([first.id, third.id])]
    )


async def test_what_was_said_of_a_merged_record_holds_of_its_survivor(desk: Desk, duplicates: Duplicates) -> None:
    merges = Merges(desk)
    first = await desk.create(given_names=["Peter"], family_name="Huber")
    second, third = await desk.create(), await desk.create()
    assert await duplicates.listed() == [{second.id, third.id}]
    await merges.merge(first, second)
    assert await duplicates.listed() == [{first.id, third.id}]


async def test_a_dismissal_goes_with_a_record_that_is_merged_and_tells_its_reason_there(
    desk: Desk, duplicates: Duplicates
) -> None:
    first = await desk.create(given_names=["Peter"], family_name="Huber")
    second, third = await desk.create(), await desk.create()
    await duplicates.dismiss(second.id, third.id, reason="sisters")
    await Merges(desk).merge(first, second)
    [carried] = [
        each
        for each in (await duplicates.page(state=pb.DUPLICATE_STATE_DISMISSED)).pairs
        if {each.first.patient_id, each.second.patient_id} == {first.id, third.id}
    ]
    assert (carried.dismiss_reason, carried.dismissed_by) == ("sisters", "user")


async def test_names_of_all_records_of_a_person_are_compared(desk: Desk, duplicates: Duplicates) -> None:
    merges = Merges(desk)
    first = await desk.create(given_names=["Peter"], family_name="Huber")
    await merges.merge(first, await desk.create())
    answer = await duplicates.register()
    assert [each.patient_id for each in answer.likely_duplicates] == [first.id]


async def test_a_restricted_record_is_found_by_nobody(desk: Desk, duplicates: Duplicates) -> None:
    merges = Merges(desk)
    first, second = await desk.create(), await desk.create()
    await merges.restrict(first.id)
    assert await duplicates.of(second.id) == []
    assert await duplicates.listed() == []
    assert [each.patient_id for each in (await duplicates.register()).likely_duplicates] == [second.id]


async def test_of_a_patient_who_is_forgotten_no_key_and_no_pair_is_left(desk: Desk, duplicates: Duplicates) -> None:
    first, second = await desk.create(), await desk.create()
    await duplicates.dismiss(first.id, second.id, reason="she told us so herself")
    await Merges(desk).anonymise(first.id)
    of_first = "SELECT count(*) FROM match_key WHERE patient_id = $1"
    assert await desk.service.admin.fetchval(of_first, from_wire("patient", first.id)) == 0
    assert await desk.service.admin.fetchval(COUNT) == 0


async def test_the_worklist_is_paged_by_score_and_cut_to_a_site(desk: Desk, duplicates: Duplicates) -> None:
    people = [await desk.create() for _ in range(3)]
    other = await duplicates.elsewhere(given_names=["Jon"], family_name="Ott")
    pairs = [{a.id, b.id} for a, b in ((people[0], people[1]), (people[0], people[2]), (people[1], people[2]))]
    listed, token = list[set[str]](), ""
    while True:
        page = await duplicates.page(page_size=1, page_token=token)
        listed += [{each.first.patient_id, each.second.patient_id} for each in page.pairs]
        token = page.next_page_token
        if not token:
            break
    assert sorted(map(sorted, listed)) == sorted(map(sorted, pairs))
    twin = await duplicates.elsewhere(given_names=["Jon"], family_name="Ott")
    assert await duplicates.listed(site_id=to_wire("site", desk.other_site_id)) == [{other.id, twin.id}]
    assert len(await duplicates.listed(site_id=to_wire("site", desk.site_id))) == 3
    assert await duplicates.listed(desk.at_other_site()) == [{other.id, twin.id}]
    refused = await refusal(duplicates.listed(desk.at_other_site(), site_id=to_wire("site", desk.site_id)))
    assert refused.code is StatusCode.PERMISSION_DENIED
    refused = await refusal(duplicates.page(page_token="x"))
    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert refused.reason == "BAD_PAGE_TOKEN"


async def test_a_dismissal_is_refused_with_its_reason(desk: Desk, duplicates: Duplicates) -> None:
    first, second = await desk.create(), await desk.create()
    nobody = to_wire("patient", new_id())
    elsewhere = desk.at_other_site("ROLE_SITE_MANAGER")
    for one, other, token, code, reason in (
        (first.id, first.id, None, StatusCode.INVALID_ARGUMENT, "DUPLICATE_OF_SAME"),
        (first.id, nobody, None, StatusCode.NOT_FOUND, "DUPLICATE_NOT_FOUND"),
        (first.id, second.id, elsewhere, StatusCode.NOT_FOUND, "DUPLICATE_NOT_FOUND"),
        (first.id, second.id, desk.of_other_chain(), StatusCode.NOT_FOUND, "DUPLICATE_NOT_FOUND"),
        (first.id, second.id, desk.clinician(), StatusCode.PERMISSION_DENIED, "ACCESS_DENIED"),
    ):
        refused = await refusal(duplicates.dismiss(one, other, token))
        assert refused.code is code
        assert refused.reason == reason
    assert await duplicates.listed() == [{first.id, second.id}]
    await duplicates.dismiss(first.id, second.id)
    refused = await refusal(duplicates.dismiss(first.id, second.id))
    assert refused.code is StatusCode.FAILED_PRECONDITION
    assert refused.reason == "DUPLICATE_SETTLED"


async def test_other_sites_and_chains_are_told_nothing(desk: Desk, duplicates: Duplicates) -> None:
    first, second = await desk.create(), await desk.create()
    for token in (desk.at_other_site(), desk.of_other_chain()):
        refused = await refusal(duplicates.of(first.id, token))
        assert refused.code is StatusCode.NOT_FOUND
        assert refused.reason == "PATIENT_NOT_FOUND"
        assert await duplicates.listed(token) == []
    other = desk.at_other_site("ROLE_INTEGRATION")
    assert await duplicates.score(first.id, second.id, token=other) == []
    refused = await refusal(duplicates.score(first.id, token=desk.clinician()))
    assert refused.code is StatusCode.PERMISSION_DENIED
    refused = await refusal(duplicates.of(first.id, desk.service.token("ROLE_BILLING")))
    assert refused.code is StatusCode.PERMISSION_DENIED


async def test_the_database_takes_no_pair_of_one_record(desk: Desk) -> None:
    created = await desk.create()
    told = "INSERT INTO duplicate_pair VALUES ($1, $2, $2, 1, '', 'OPEN', now())"
    with pytest.raises(asyncpg.CheckViolationError, match="duplicate_pair_two_check"):
        await desk.service.admin.execute(told, desk.service.chain_id, from_wire("patient", created.id))
