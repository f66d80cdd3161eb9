"""Drafts, preview, publishing, retirement and adoption of protocol versions, through the gRPC door."""

import asyncio
from collections.abc import AsyncIterator
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from google.protobuf.json_format import ParseDict
from grpc import StatusCode

from atoll.scheduling.v1 import protocol_service_pb2 as pb
from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate
from chassis.ids import new_id, to_wire
from chassis.times import to_timestamp
from services.scheduling.rpc import protocols as protocols_rpc
from services.scheduling.store import running as running_store
from tests.support.scheduling import DAY, TEMPLATE, Clinic, local, open_clinic, open_scheduling, segment
from tests.support.service import NOW, Running, refusal

FIRST = local(3, 2, 9)
NO_SUCH_VERSION = to_wire("protocolversion", new_id())


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


def template(**induction: Any) -> ProtocolTemplate:
    data = deepcopy(dict(TEMPLATE))
    data["phases"][1] |= induction
    return ParseDict(data, ProtocolTemplate())


def observed_for(minutes: int) -> ProtocolTemplate:
    data = deepcopy(dict(TEMPLATE))
    data["visit_types"][1]["segments"][2] = segment("OBSERVATION", minutes, nurse=1, room=1)
    return ParseDict(data, ProtocolTemplate())


async def save(clinic: Clinic, wanted: ProtocolTemplate, etag: str = "", **changes: Any) -> pb.ProtocolDraft:
    fields: dict[str, Any] = {"protocol_id": clinic.protocol_id, "template": wanted, "etag": etag}
    request = pb.SaveProtocolDraftRequest(request_id=str(uuid4()), **fields | changes)
    draft: pb.ProtocolDraft = (await clinic.svc.call(clinic.protocols.SaveProtocolDraft, request)).protocol_draft
    return draft


async def publish(clinic: Clinic, **fields: Any) -> pb.ProtocolVersion:
    request = pb.PublishProtocolVersionRequest(request_id=str(uuid4()), protocol_id=clinic.protocol_id, **fields)
    answer = await clinic.svc.call(clinic.protocols.PublishProtocolVersion, request)
    version: pb.ProtocolVersion = answer.protocol_version
    return version


async def retire(clinic: Clinic, version_id: str = "", token: str | None = None) -> pb.ProtocolVersion:
    request = pb.RetireProtocolVersionRequest(
        request_id=str(uuid4()), protocol_version_id=version_id or clinic.version_id, reason="Superseded"
    )
    answer = await clinic.svc.call(clinic.protocols.RetireProtocolVersion, request, token)
    version: pb.ProtocolVersion = answer.protocol_version
    return version


async def adopt(clinic: Clinic, narrowed: ProtocolTemplate | None = None, token: str | None = None) -> pb.Adoption:
    request = pb.AdoptProtocolVersionRequest(
        request_id=str(uuid4()),
        site_id=clinic.site_id,
        protocol_version_id=clinic.version_id,
        narrowed_template=narrowed,
    )
    adoption: pb.Adoption = (await clinic.svc.call(clinic.protocols.AdoptProtocolVersion, request, token)).adoption
    return adoption


async def end_adoption(clinic: Clinic) -> None:
    request = pb.EndAdoptionRequest(
        request_id=str(uuid4()), site_id=clinic.site_id, protocol_version_id=clinic.version_id
    )
    await clinic.svc.call(clinic.protocols.EndAdoption, request)


async def get_draft(clinic: Clinic) -> pb.ProtocolDraft:
    request = pb.GetProtocolDraftRequest(protocol_id=clinic.protocol_id)
    draft: pb.ProtocolDraft = (await clinic.svc.call(clinic.protocols.GetProtocolDraft, request)).protocol_draft
    return draft


async def told(clinic: Clinic, fact: str) -> list[Any]:
    return [event for subject, event in await clinic.published() if subject == f"scheduling.v1.protocol_version.{fact}"]


async def test_a_draft_is_kept_with_its_faults_changed_and_published_once_it_has_none(clinic: Clinic) -> None:
    first = await save(clinic, template(visits_default=9))
    assert [(fault.field, fault.rule) for fault in first.faults] == [
        ("template.phases[1].visits_default", "OUT_OF_BOUNDS")
    ]
    assert (first.update_time, first.updated_by) == (to_timestamp(NOW), (await get_draft(clinic)).updated_by)
    refused = await refusal(publish(clinic))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "PROTOCOL_TEMPLATE_INVALID")
    assert await get_draft(clinic) == first
    second = await save(clinic, template(visits_default=4), first.etag)
    assert not second.faults
    version = await publish(clinic, etag=second.etag)
    assert (version.version, version.template.phases[1].visits_default) == (2, 4)
    gone = await refusal(get_draft(clinic))
    assert (gone.code, gone.reason) == (StatusCode.NOT_FOUND, "PROTOCOL_DRAFT_NOT_FOUND")
    assert [event.version for event in await told(clinic, "published")] == [1, 2]


async def test_of_two_writers_of_a_draft_the_second_has_to_read_again(clinic: Clinic) -> None:
    first = await save(clinic, template())
    await save(clinic, template(visits_default=5), first.etag)
    for attempt in (save(clinic, template(), first.etag), save(clinic, template()), publish(clinic, etag=first.etag)):
        refused = await refusal(attempt)
        assert (refused.code, refused.reason) == (StatusCode.ABORTED, "STALE_ETAG")
    assert (await get_draft(clinic)).template.phases[1].visits_default == 5
    assert await clinic.count("protocol_version") == 1


async def test_a_draft_saved_twice_at_once_is_one_writers(clinic: Clinic) -> None:
    tried = await asyncio.gather(*(save(clinic, template()) for _ in range(2)), return_exceptions=True)
    assert sum(isinstance(each, pb.ProtocolDraft) for each in tried) == 1


async def test_a_draft_can_be_thrown_away(clinic: Clinic) -> None:
    draft = await save(clinic, template())
    discard = pb.DiscardProtocolDraftRequest(protocol_id=clinic.protocol_id, etag='"9"', request_id=str(uuid4()))
    stale = await refusal(clinic.svc.call(clinic.protocols.DiscardProtocolDraft, discard))
    assert (stale.code, stale.reason) == (StatusCode.ABORTED, "STALE_ETAG")
    discard.etag = draft.etag
    await clinic.svc.call(clinic.protocols.DiscardProtocolDraft, discard)
    assert await clinic.count("protocol_draft") == 0
    discard.request_id = str(uuid4())
    gone = await refusal(clinic.svc.call(clinic.protocols.DiscardProtocolDraft, discard))
    assert (gone.code, gone.reason) == (StatusCode.NOT_FOUND, "PROTOCOL_DRAFT_NOT_FOUND")


async def test_a_draft_of_no_protocol_is_refused(clinic: Clinic) -> None:
    refused = await refusal(save(clinic, template(), protocol_id=to_wire("protocol", new_id())))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PROTOCOL_NOT_FOUND")


async def preview(clinic: Clinic, wanted: ProtocolTemplate | None = None) -> pb.PreviewProtocolVersionResponse:
    request = pb.PreviewProtocolVersionRequest(protocol_id=clinic.protocol_id, template=wanted)
    answer: pb.PreviewProtocolVersionResponse = await clinic.svc.call(clinic.protocols.PreviewProtocolVersion, request)
    return answer


async def test_before_publishing_it_is_shown_what_changes_and_which_running_courses_it_would_break(
    clinic: Clinic,
) -> None:
    starts = [FIRST, FIRST + 3 * DAY]
    course = await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments(starts)))
    other = clinic.treatments([FIRST], clinic.nurses[1], clinic.rooms[1])
    await clinic.book(clinic.request(await clinic.add_patient(), other))
    await save(clinic, template(gap_days_preferred=2, gap_days_max=2))
    answer = await preview(clinic)
    assert [(change.path, change.before, change.after) for change in answer.changes] == [
        ("phases[induction].gap_days_preferred", "3", "2"),
        ("phases[induction].gap_days_max", "5", "2"),
    ]
    assert answer.latest_version == 1
    assert [
        (each.site_id, each.course_count, each.visit_count, each.breaching_course_count) for each in answer.sites
    ] == [(clinic.site_id, 2, 3, 1)]
    assert [(each.course_id, each.version) for each in answer.breaching_courses] == [(course.id, 1)]
    assert [(fault.field, fault.rule) for fault in answer.breaching_courses[0].faults] == [
        ("visits[1].start_time", "SPACING")
    ]
    assert not answer.truncated
    assert not (await preview(clinic, observed_for(30))).breaching_courses


async def test_what_is_over_or_cancelled_is_no_running_course(clinic: Clinic) -> None:
    await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))
    clinic.svc.clock.now = FIRST + DAY
    assert not (await preview(clinic, template(gap_days_max=9))).sites


async def test_a_preview_says_when_it_has_not_looked_at_every_course(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    for nurse, room in zip(clinic.nurses, clinic.rooms, strict=True):
        await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST], nurse, room)))
    monkeypatch.setattr(running_store, "COURSES_MAX", 1)
    monkeypatch.setattr(protocols_rpc, "COURSES_MAX", 1)
    answer = await preview(clinic, observed_for(60))
    assert (answer.truncated, answer.sites[0].course_count, len(answer.breaching_courses)) == (True, 1, 1)


async def test_a_preview_of_what_could_not_be_published_is_refused(clinic: Clinic) -> None:
    refused = await refusal(preview(clinic, template(visits_default=9)))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "PROTOCOL_TEMPLATE_INVALID")
    missing = await refusal(preview(clinic))
    assert (missing.code, missing.reason) == (StatusCode.NOT_FOUND, "PROTOCOL_DRAFT_NOT_FOUND")


async def test_versions_are_listed_the_newest_first_in_pages_and_compared(clinic: Clinic) -> None:
    second = await publish(clinic, template=template(visits_default=4))
    third = await publish(clinic, template=template(visits_default=3))
    await retire(clinic, second.id)
    request = pb.ListProtocolVersionsRequest(protocol_id=clinic.protocol_id, page_size=2)
    page = await clinic.svc.call(clinic.protocols.ListProtocolVersions, request)
    assert [(each.version, each.HasField("retire_time")) for each in page.protocol_versions] == [(3, False), (2, True)]
    request.page_token = page.next_page_token
    rest = await clinic.svc.call(clinic.protocols.ListProtocolVersions, request)
    assert [each.id for each in rest.protocol_versions] == [clinic.version_id]
    diff = pb.DiffProtocolVersionsRequest(protocol_version_id=third.id, base_protocol_version_id=second.id)
    answer = await clinic.svc.call(clinic.protocols.DiffProtocolVersions, diff)
    assert [(each.path, each.before, each.after) for each in answer.changes] == [
        ("phases[induction].visits_default", "4", "3")
    ]
    diff.base_protocol_version_id = NO_SUCH_VERSION
    missing = await refusal(clinic.svc.call(clinic.protocols.DiffProtocolVersions, diff))
    assert (missing.code, missing.reason) == (StatusCode.NOT_FOUND, "PROTOCOL_VERSION_NOT_FOUND")


async def test_nothing_new_is_booked_or_adopted_by_a_retired_version_and_what_is_booked_stands(clinic: Clinic) -> None:
    patient_id = await clinic.add_patient()
    booked = await clinic.book(clinic.request(patient_id, clinic.treatments([FIRST])))
    version = await retire(clinic)
    assert (version.retire_time, version.retire_reason) == (to_timestamp(NOW), "Superseded")
    get = pb.GetProtocolVersionRequest(protocol_version_id=clinic.version_id)
    assert (await clinic.svc.call(clinic.protocols.GetProtocolVersion, get)).protocol_version == version
    for attempt in (
        clinic.book(clinic.request(patient_id, clinic.treatments([FIRST + 3 * DAY]))),
        adopt(clinic),
        retire(clinic),
    ):
        refused = await refusal(attempt)
        assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PROTOCOL_VERSION_RETIRED")
    assert await clinic.counts("course", "adoption", "protocol_version_retirement") == [1, 1, 1]
    assert booked.visits[0].id
    assert [event.protocol_version_id for event in await told(clinic, "retired")] == [clinic.version_id]
    missing = await refusal(retire(clinic, NO_SUCH_VERSION))
    assert (missing.code, missing.reason) == (StatusCode.NOT_FOUND, "PROTOCOL_VERSION_NOT_FOUND")


async def test_a_retirement_is_never_taken_back(clinic: Clinic) -> None:
    await retire(clinic)
    async with clinic.svc.pool.acquire() as conn, conn.transaction():
        await conn.execute("SELECT set_config('app.chain', $1, true)", str(clinic.svc.chain_id))
        with pytest.raises(Exception, match="permission denied"):
            await conn.execute("DELETE FROM protocol_version_retirement")


async def test_a_site_books_by_its_own_narrower_form(clinic: Clinic) -> None:
    narrowed = observed_for(45)
    del narrowed.routes[1]
    adoption = await adopt(clinic, narrowed)
    assert adoption.narrowed_template.visit_types[1].segments[2].minutes == 45
    patient_id = await clinic.add_patient()
    course = await clinic.book(clinic.request(patient_id, clinic.treatments([FIRST])))
    stay = course.visits[0].end_time.ToDatetime() - course.visits[0].start_time.ToDatetime()
    assert stay.total_seconds() == 95 * 60  # Fifteen minutes longer than the version has it.
    by_spray = clinic.request(patient_id, clinic.treatments([FIRST + 3 * DAY]), route_code="nasal")
    refused = await refusal(clinic.book(by_spray))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "ROUTE_UNKNOWN")
    assert [bool(event.narrowed_template.routes) for event in await told(clinic, "adopted")] == [False, True]


async def test_a_form_given_again_is_told_of_once_and_the_version_as_it_is_can_be_had_back(clinic: Clinic) -> None:
    for _ in range(2):
        await adopt(clinic, observed_for(45))
    first = await adopt(clinic)
    assert not first.HasField("narrowed_template")
    assert first.adopt_time == to_timestamp(NOW)
    assert len(await told(clinic, "adopted")) == 3
    assert await clinic.count("adoption") == 1


async def test_a_wider_form_is_refused_with_every_place_and_the_one_before_stays(clinic: Clinic) -> None:
    await adopt(clinic, observed_for(45))
    wider = observed_for(20)
    wider.phases[1].gap_days_max = 9
    refused = await refusal(adopt(clinic, wider))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "NARROWING_WIDENS")
    assert [field for field, _ in refused.faults] == [
        "narrowed_template.visit_types[1].segments[2].minutes",
        "narrowed_template.phases[1].gap_days_max",
    ]
    assert (await adoptions(clinic))[0].narrowed_template.visit_types[1].segments[2].minutes == 45


async def adoptions(clinic: Clinic) -> list[pb.Adoption]:
    request = pb.ListAdoptionsRequest(site_id=clinic.site_id, page_size=1)
    page = await clinic.svc.call(clinic.protocols.ListAdoptions, request)
    found = list(page.adoptions)
    while page.next_page_token:
        request.page_token = page.next_page_token
        page = await clinic.svc.call(clinic.protocols.ListAdoptions, request)
        found += page.adoptions
    return found


async def test_what_a_site_adopted_first_is_listed_first_whichever_was_published_first(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = [(await publish(clinic, template=template(visits_default=n))).id for n in (4, 5)]
    for minutes, id in ((1, newer), (2, older)):
        monkeypatch.setattr(clinic.svc.clock, "now", NOW + timedelta(minutes=minutes))
        await clinic.adopt(id)
    assert [each.protocol_version_id for each in await adoptions(clinic)] == [clinic.version_id, newer, older]


async def test_a_site_lists_by_what_it_treats_and_can_stop_to(clinic: Clinic) -> None:
    second = await publish(clinic, template=template(visits_default=4))
    await clinic.adopt(second.id)
    assert [each.protocol_version_id for each in await adoptions(clinic)] == [clinic.version_id, second.id]
    await end_adoption(clinic)
    assert [each.protocol_version_id for each in await adoptions(clinic)] == [second.id]
    refused = await refusal(clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST]))))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "PROTOCOL_NOT_ADOPTED")
    again = await refusal(end_adoption(clinic))
    assert (again.code, again.reason) == (StatusCode.FAILED_PRECONDITION, "PROTOCOL_NOT_ADOPTED")
    assert [event.site_id for event in await told(clinic, "adoption_ended")] == [clinic.site_id]


async def test_who_may_not_change_protocols_changes_none(clinic: Clinic) -> None:
    for role in ("ROLE_FRONT_DESK", "ROLE_NURSE", "ROLE_SITE_MANAGER", "ROLE_BILLING"):
        refused = await refusal(retire(clinic, token=clinic.token(role)))
        assert refused.code is StatusCode.PERMISSION_DENIED
    elsewhere = clinic.token("ROLE_SITE_MANAGER", await clinic.add_site("bld"))
    assert (await refusal(adopt(clinic, token=elsewhere))).code is StatusCode.PERMISSION_DENIED
    assert await clinic.count("protocol_version_retirement") == 0


async def test_another_chains_protocol_is_none(clinic: Clinic) -> None:
    request = pb.GetProtocolDraftRequest(protocol_id=clinic.protocol_id)
    await save(clinic, template())
    stranger = clinic.svc.token("ROLE_CHAIN_ADMIN", chain_id=new_id())
    refused = await refusal(clinic.svc.call(clinic.protocols.GetProtocolDraft, request, stranger))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PROTOCOL_DRAFT_NOT_FOUND")
