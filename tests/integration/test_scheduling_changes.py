"""Changes of legal entities, sites and resources, through the gRPC door."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import ParseDict
from grpc import StatusCode

from atoll.scheduling.v1 import events_pb2
from atoll.scheduling.v1 import legal_entity_service_pb2 as entities
from atoll.scheduling.v1 import resource_service_pb2 as resources
from atoll.scheduling.v1 import site_service_pb2 as sites
from chassis.etags import StaleEtag
from chassis.ids import from_wire, new_id, to_wire
from services.scheduling.store import SchedulingStore
from tests.support.scheduling import DAY, NPI, Clinic, hours, local, open_clinic, open_scheduling
from tests.support.service import Running, refusal

FIRST = local(3, 2, 9)
MONDAY = hours(8, 12, ["MONDAY"])[0]
JULY = {"year": 2027, "month": 7}


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


async def get_site(clinic: Clinic) -> sites.Site:
    answer = await clinic.svc.call(clinic.sites.GetSite, sites.GetSiteRequest(site_id=clinic.site_id))
    site: sites.Site = answer.site
    return site


async def get_resource(clinic: Clinic, id: str, token: str | None = None) -> resources.Resource:
    request = resources.GetResourceRequest(resource_id=id)
    resource: resources.Resource = (await clinic.svc.call(clinic.resources.GetResource, request, token)).resource
    return resource


def site_update(clinic: Clinic, etag: str = '"1"', **changes: Any) -> sites.UpdateSiteRequest:
    fields = {"id": clinic.site_id, "etag": etag} | changes
    return sites.UpdateSiteRequest(
        request_id=str(uuid4()), site=ParseDict(fields, sites.Site()), update_mask=FieldMask(paths=list(changes))
    )


def resource_update(id: str, etag: str = '"1"', **changes: Any) -> resources.UpdateResourceRequest:
    fields = {"id": id, "etag": etag} | changes
    return resources.UpdateResourceRequest(
        request_id=str(uuid4()),
        resource=ParseDict(fields, resources.Resource()),
        update_mask=FieldMask(paths=list(changes)),
    )


async def change_site(clinic: Clinic, request: sites.UpdateSiteRequest, token: str | None = None) -> sites.Site:
    site: sites.Site = (await clinic.svc.call(clinic.sites.UpdateSite, request, token)).site
    return site


async def change(clinic: Clinic, request: resources.UpdateResourceRequest, token: str | None = None) -> Any:
    return (await clinic.svc.call(clinic.resources.UpdateResource, request, token)).resource


async def test_a_company_is_renamed_and_told_of(clinic: Clinic) -> None:
    told = entities.LegalEntity(id=clinic.legal_entity_id, display_name="Mile High Care LLC", etag='"1"')
    mask = FieldMask(paths=["display_name"])
    request = entities.UpdateLegalEntityRequest(request_id=str(uuid4()), legal_entity=told, update_mask=mask)
    changed = (await clinic.svc.call(clinic.entities.UpdateLegalEntity, request)).legal_entity
    assert (changed.display_name, changed.etag) == ("Mile High Care LLC", '"2"')
    subject, event = (await clinic.published())[-1]
    assert (subject, event.meta.aggregate_version) == ("scheduling.v1.legal_entity.updated", 2)
    assert (event.legal_entity_id, event.display_name) == (clinic.legal_entity_id, "Mile High Care LLC")
    request.request_id = str(uuid4())
    refused = await refusal(clinic.svc.call(clinic.entities.UpdateLegalEntity, request))
    assert (refused.code, refused.reason) == (StatusCode.ABORTED, "STALE_ETAG")
    request.request_id, told.id = str(uuid4()), to_wire("legalentity", new_id())
    request.legal_entity.CopyFrom(told)
    assert (
        await refusal(clinic.svc.call(clinic.entities.UpdateLegalEntity, request))
    ).reason == "LEGAL_ENTITY_NOT_FOUND"


async def test_the_fields_that_a_mask_names_change_and_no_others_and_readers_are_told_of_the_site_whole(
    clinic: Clinic,
) -> None:
    before = await get_site(clinic)
    request = site_update(
        clinic, discreet_name="Suite 300", phone="+13035550199", observed_holidays=["HOLIDAY_LABOR_DAY"]
    )
    request.site.display_name = "Not named by the mask"
    changed = await change_site(clinic, request, clinic.token("ROLE_SITE_MANAGER"))
    assert (changed.discreet_name, changed.phone, changed.etag) == ("Suite 300", "+13035550199", '"2"')
    assert (changed.display_name, changed.opening_hours) == (before.display_name, before.opening_hours)
    assert await get_site(clinic) == changed
    assert await change_site(clinic, request, clinic.token("ROLE_SITE_MANAGER")) == changed
    subject, event = (await clinic.published())[-1]
    assert (subject, event.meta.aggregate_version) == ("scheduling.v1.site.updated", 2)
    event.ClearField("meta")
    assert event == events_pb2.SiteUpdated(
        site_id=clinic.site_id,
        legal_entity_id=clinic.legal_entity_id,
        code="den",
        display_name="Front Range Ketamine",
        discreet_name="Suite 300",
        time_zone="America/Denver",
        state="CO",
        address="1600 Broadway, Suite 200, Denver, CO 80202",
        phone="+13035550199",
    )


@pytest.mark.parametrize(
    ("changes", "reason", "faults"),
    [
        ({"discreet_name": "Infusion House"}, "DISCREET_NAME_REFUSED", [("site.discreet_name", "HEALTH_WORD")]),
        ({"phone": "303"}, "PHONE_INVALID", [("site.phone", "PHONE_INVALID")]),
        (
            {"address": {"administrative_area": "NM", "region_code": "US"}},
            "STATE_UNKNOWN",
            [("site.state", "STATE_UNKNOWN")],
        ),
        (
            {"opening_hours": hours(8, 12, ["MONDAY"]) + hours(11, 18, ["MONDAY"])},
            "HOURS_INVALID",
            [("site.opening_hours[1]", "OVERLAP")],
        ),
        (
            {"exceptions": [{"date": JULY | {"day": 2}}, {"date": JULY | {"day": 2}}]},
            "EXCEPTIONS_OVERLAP",
            [("site.exceptions[1].date", "DAY_TWICE")],
        ),
        (
            {"exceptions": [{"date": JULY | {"day": 2}}], "closed_dates": [JULY | {"day": 2}]},
            "EXCEPTIONS_OVERLAP",
            [("site.exceptions[0].date", "CLOSED_DATE")],
        ),
        (
            {
                "exceptions": [
                    {
                        "date": JULY | {"day": 2},
                        "stretches": [
                            {"start_time": {"hours": 8}, "end_time": {"hours": 12}},
                            {"start_time": {"hours": 11}, "end_time": {"hours": 13}},
                        ],
                    }
                ]
            },
            "EXCEPTIONS_OVERLAP",
            [("site.exceptions[0].stretches", "OVERLAP")],
        ),
        ({"opening_hours": []}, "BAD_REQUEST", [("", "update.site_values")]),
        ({"time_zone": "America/Nowhere"}, "BAD_REQUEST", [("update_mask", "field_mask.in")]),
        ({}, "BAD_REQUEST", [("", "update.names_fields")]),
    ],
)
async def test_a_site_is_not_changed_into_one_that_breaks_a_rule(
    clinic: Clinic, changes: dict[str, Any], reason: str, faults: list[tuple[str, str]]
) -> None:
    before = await get_site(clinic)
    refused = await refusal(change_site(clinic, site_update(clinic, **changes)))
    assert (refused.code, refused.reason, refused.faults) == (StatusCode.INVALID_ARGUMENT, reason, faults)
    assert await get_site(clinic) == before


@pytest.mark.parametrize("part", ["address.locality", "display_name.x", "opening_hours.day"])
async def test_a_mask_that_names_a_part_of_a_field_is_refused(clinic: Clinic, part: str) -> None:
    before = await get_site(clinic)
    request = site_update(clinic, phone="+13035550199")
    request.update_mask.paths.append(part)
    refused = await refusal(change_site(clinic, request))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
    assert refused.faults == [("update_mask", "field_mask.whole_fields")]
    assert await get_site(clinic) == before


async def test_a_stale_etag_another_site_and_who_runs_no_site_are_refused(clinic: Clinic) -> None:
    other = await clinic.add_site("bld")
    await change_site(clinic, site_update(clinic, phone="+13035550199"))
    stale = await refusal(change_site(clinic, site_update(clinic, phone="+13035550188")))
    assert (stale.code, stale.reason) == (StatusCode.ABORTED, "STALE_ETAG")
    for token in (clinic.token("ROLE_SITE_MANAGER", other), clinic.token("ROLE_FRONT_DESK")):
        refused = await refusal(change_site(clinic, site_update(clinic, '"2"', phone="+13035550188"), token))
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    stranger = clinic.svc.token(chain_id=new_id())
    missing = await refusal(change_site(clinic, site_update(clinic, phone="+13035550188"), stranger))
    assert (missing.code, missing.reason) == (StatusCode.NOT_FOUND, "SITE_NOT_FOUND")
    assert (await get_site(clinic)).phone == "+13035550199"


async def test_a_resource_is_changed_and_told_of(clinic: Clinic) -> None:
    other = await clinic.add_site("bld")
    nurse = clinic.nurses[0]
    request = resource_update(
        nurse,
        display_name="Nurse One",
        capabilities=["infusion", "nasal"],
        lane_count=3,
        credential="RN",
        npi=NPI,
        credentials=[
            {"code": "RN", "licence_number": "123", "states": ["CO", "NM"], "expire_date": JULY | {"day": 31}},
            {"code": "ACLS", "effective_date": JULY | {"day": 1}},
        ],
        roles=["charge_nurse"],
        working_hours=hours(8, 12, ["TUESDAY"]),
        shifts=[
            {"hours": MONDAY, "site_id": other, "every_weeks": 2, "anchor_date": {"year": 2027, "month": 3, "day": 1}},
            {"hours": MONDAY, "every_weeks": 2, "anchor_date": {"year": 2027, "month": 3, "day": 8}},
        ],
        retire_date=JULY | {"day": 9},
    )
    changed = await change(clinic, request, clinic.token("ROLE_SITE_MANAGER"))
    request.resource.shifts[1].site_id = clinic.site_id
    for name in request.update_mask.paths:
        assert getattr(changed, name) == getattr(request.resource, name), name
    assert (changed.etag, await get_resource(clinic, nurse)) == ('"2"', changed)
    subject, event = (await clinic.published())[-1]
    assert (subject, event.meta.aggregate_version) == ("scheduling.v1.resource.updated", 2)
    assert (event.resource_id, event.display_name, event.npi) == (nurse, "Nurse One", NPI)
    stale = await refusal(change(clinic, resource_update(nurse, display_name="Late")))
    assert (stale.code, stale.reason) == (StatusCode.ABORTED, "STALE_ETAG")


@pytest.mark.parametrize(
    ("changes", "reason", "faults"),
    [
        ({"of": "room", "roles": ["porter"]}, "CREDENTIAL_NOT_OF_STAFF", [("resource.roles", "NOT_OF_STAFF")]),
        (
            {"of": "room", "credentials": [{"code": "MD"}]},
            "CREDENTIAL_NOT_OF_STAFF",
            [("resource.credentials", "NOT_OF_STAFF")],
        ),
        (
            {"credentials": [{"code": "MD", "states": ["XX"]}]},
            "CREDENTIALS_INVALID",
            [("resource.credentials[0].states", "STATE_UNKNOWN")],
        ),
        (
            {
                "credentials": [
                    {"code": "MD", "effective_date": JULY | {"day": 2}, "expire_date": JULY | {"day": 1}},
                    {"code": "RN"},
                    {"code": "RN"},
                ]
            },
            "CREDENTIALS_INVALID",
            [("resource.credentials[0].expire_date", "BEFORE_START"), ("resource.credentials[2]", "REPEATED")],
        ),
        (
            {"shifts": [{"hours": MONDAY, "every_weeks": 2}]},
            "HOURS_INVALID",
            [("resource.shifts[0].anchor_date", "MISSING")],
        ),
        (
            {
                "shifts": [
                    {
                        "hours": MONDAY,
                        "first_date": JULY | {"day": 2},
                        "last_date": JULY | {"day": 1},
                    }
                ]
            },
            "HOURS_INVALID",
            [("resource.shifts[0].last_date", "BEFORE_START")],
        ),
        (
            {"working_hours": hours(8, 12), "shifts": [{"hours": hours(11, 13, ["FRIDAY"])[0]}]},
            "HOURS_INVALID",
            [("resource.shifts[0]", "OVERLAP")],
        ),
        ({"npi": "1234567890"}, "NPI_INVALID", [("resource.npi", "NPI_INVALID")]),
        ({"lane_count": 0}, "BAD_REQUEST", [("", "update.resource_values")]),
    ],
)
async def test_a_resource_is_not_changed_into_one_that_breaks_a_rule(
    clinic: Clinic, changes: dict[str, Any], reason: str, faults: list[tuple[str, str]]
) -> None:
    id = clinic.rooms[0] if changes.pop("of", "") else clinic.nurses[0]
    before = await get_resource(clinic, id)
    refused = await refusal(change(clinic, resource_update(id, **changes)))
    assert (refused.code, refused.reason, refused.faults) == (StatusCode.INVALID_ARGUMENT, reason, faults)
    assert await get_resource(clinic, id) == before


async def test_a_room_has_no_shift_at_another_site_and_nobody_one_at_a_site_that_is_not_there(clinic: Clinic) -> None:
    shift = {"hours": MONDAY}
    room = resource_update(clinic.rooms[0], shifts=[shift | {"site_id": await clinic.add_site("bld")}])
    refused = await refusal(change(clinic, room))
    assert (refused.reason, refused.faults) == (
        "ROOM_CANNOT_MOVE",
        [("resource.shifts[0].site_id", "ROOM_CANNOT_MOVE")],
    )
    elsewhere = clinic.resource_request("STAFF", "Nurse", shifts=[shift | {"site_id": to_wire("site", new_id())}])
    missing = await refusal(clinic.svc.call(clinic.resources.CreateResource, elsewhere))
    assert (missing.code, missing.reason) == (StatusCode.NOT_FOUND, "SITE_NOT_FOUND")
    assert await clinic.counts("lent_resource", "resource") == [0, 5]


async def test_lanes_that_visits_to_come_have_taken_stay_until_these_are_over(clinic: Clinic) -> None:
    await clinic.book(clinic.request(await clinic.add_patient(), clinic.treatments([FIRST])))
    fewer = resource_update(clinic.nurses[0], lane_count=1)
    refused = await refusal(change(clinic, fewer))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "LANES_ALLOCATED")
    assert (await get_resource(clinic, clinic.nurses[0])).lane_count == 2
    assert (await change(clinic, resource_update(clinic.nurses[1], lane_count=1))).lane_count == 1
    clinic.svc.clock.now = FIRST + DAY
    assert (await change(clinic, fewer)).lane_count == 1


async def test_a_resource_is_changed_at_its_home_site_only(clinic: Clinic) -> None:
    other, nurse = await clinic.add_site("bld"), clinic.nurses[0]
    shift = {"hours": MONDAY, "site_id": other}
    await change(clinic, resource_update(nurse, shifts=[shift]))
    there = clinic.token("ROLE_SITE_MANAGER", other)
    assert (await get_resource(clinic, nurse, there)).site_id == clinic.site_id
    refused = await refusal(change(clinic, resource_update(nurse, '"2"', display_name="Theirs"), there))
    assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    unseen = await refusal(change(clinic, resource_update(clinic.nurses[1], display_name="Theirs"), there))
    assert (unseen.code, unseen.reason) == (StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")
    desk = await refusal(change(clinic, resource_update(nurse, '"2"', display_name="Mine"), clinic.token()))
    assert desk.code is StatusCode.PERMISSION_DENIED
    await change(clinic, resource_update(nurse, '"2"', shifts=[]))
    assert (await refusal(get_resource(clinic, nurse, there))).reason == "RESOURCE_NOT_FOUND"


async def test_nothing_new_is_booked_of_a_resource_from_the_day_of_its_retirement_on(clinic: Clinic) -> None:
    await change(clinic, resource_update(clinic.rooms[0], retire_date={"year": 2027, "month": 3, "day": 5}))
    patient = await clinic.add_patient()
    late = clinic.request(patient, clinic.treatments([FIRST, FIRST + 3 * DAY]))
    refused = await refusal(clinic.book(late))
    assert (refused.reason, refused.faults) == ("OUTSIDE_HOURS", [("visits[1].resources[1]", "NOT_AT_WORK")])
    await clinic.book(clinic.request(patient, clinic.treatments([FIRST])))


async def test_of_two_changes_at_once_the_second_is_refused(clinic: Clinic) -> None:
    """Both have read the resource, and the first has not committed, when the second writes."""
    svc, told = clinic.svc, await get_resource(clinic, clinic.rooms[0])
    first_call, second_call = svc.inside("First"), svc.inside("Second")
    id = from_wire("resource", told.id)
    async with svc.db.transaction(first_call) as first:
        resource = await SchedulingStore(first, first_call).resource(id)
        await SchedulingStore(first, first_call).change_resource(replace(resource, display_name="First", version=2))

        async def second() -> None:
            async with svc.db.transaction(second_call) as conn:
                await SchedulingStore(conn, second_call).change_resource(
                    replace(resource, display_name="Second", version=2)
                )

        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.2)
        assert not waiting.done()
    with pytest.raises(StaleEtag):
        await waiting
    assert (await get_resource(clinic, told.id)).display_name == "First"


async def test_an_address_is_changed_but_not_taken_away(clinic: Clinic) -> None:
    request = site_update(clinic)
    request.update_mask.paths.append("address")
    assert (await refusal(change_site(clinic, request))).faults == [("", "update.site_values")]
    address = {"region_code": "US", "address_lines": ["1 Main St"], "locality": "Denver", "postal_code": "80203"}
    await change_site(clinic, site_update(clinic, address=address))
    _, event = (await clinic.published())[-1]
    assert event.address == "1 Main St, Denver, CO 80203"


async def test_lanes_are_not_lowered_while_a_booking_is_under_way(clinic: Clinic) -> None:
    """The booking holds the resource's lock, and has not committed, when the change comes."""
    svc, nurse = clinic.svc, clinic.nurses[0]
    call = svc.inside("Book")
    async with svc.db.transaction(call) as conn:
        await SchedulingStore(conn, call).lock([from_wire("resource", nurse)])
        changing = asyncio.create_task(change(clinic, resource_update(nurse, lane_count=1)))
        await asyncio.sleep(0.3)
        assert not changing.done()
    assert (await changing).lane_count == 1
