"""Chains, legal entities, sites, resources and protocols, through the gRPC door."""

from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from grpc import StatusCode

from atoll.scheduling.v1 import chain_service_pb2 as chains
from atoll.scheduling.v1 import events_pb2
from atoll.scheduling.v1 import legal_entity_service_pb2 as entities
from atoll.scheduling.v1 import protocol_service_pb2 as protocols
from atoll.scheduling.v1 import resource_service_pb2 as resources
from atoll.scheduling.v1 import site_service_pb2 as sites
from atoll.scheduling.v1.chain_service_pb2_grpc import ChainServiceStub
from atoll.scheduling.v1.protocol_pb2 import RESOURCE_KIND_STAFF
from chassis.ids import new_id, to_wire
from tests.support.scheduling import NPI, TEMPLATE, Clinic, hours, open_clinic, open_scheduling
from tests.support.service import Running, refusal


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


async def test_a_chain_is_registered_once_and_told_of(clinic: Clinic) -> None:
    stub = clinic.svc.stub(ChainServiceStub)
    missing = await refusal(clinic.svc.call(stub.GetChain, chains.GetChainRequest()))
    assert (missing.code, missing.reason) == (StatusCode.NOT_FOUND, "CHAIN_NOT_FOUND")
    request = chains.CreateChainRequest(request_id=str(uuid4()), display_name="Front Range")
    created = (await clinic.svc.call(stub.CreateChain, request)).chain
    assert created == chains.Chain(id=to_wire("chain", clinic.svc.chain_id), display_name="Front Range")
    assert (await clinic.svc.call(stub.CreateChain, request)).chain == created
    assert (await clinic.svc.call(stub.GetChain, chains.GetChainRequest())).chain == created
    again = chains.CreateChainRequest(request_id=str(uuid4()), display_name="Other")
    refused = await refusal(clinic.svc.call(stub.CreateChain, again))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CHAIN_EXISTS")
    told = [event for subject, event in await clinic.published() if subject == "scheduling.v1.chain.registered"]
    assert [(event.chain_id, event.display_name) for event in told] == [(created.id, "Front Range")]


async def test_legal_entities_are_registered_read_and_listed_in_pages(clinic: Clinic) -> None:
    ids = [clinic.legal_entity_id, await clinic.add_legal_entity(), await clinic.add_legal_entity()]
    get = entities.GetLegalEntityRequest(legal_entity_id=ids[1])
    assert (await clinic.svc.call(clinic.entities.GetLegalEntity, get)).legal_entity.id == ids[1]
    first = await clinic.svc.call(clinic.entities.ListLegalEntities, entities.ListLegalEntitiesRequest(page_size=2))
    rest = entities.ListLegalEntitiesRequest(page_size=2, page_token=first.next_page_token)
    second = await clinic.svc.call(clinic.entities.ListLegalEntities, rest)
    assert [each.id for page in (first, second) for each in page.legal_entities] == ids
    missing = entities.GetLegalEntityRequest(legal_entity_id=to_wire("legalentity", new_id()))
    assert (await refusal(clinic.svc.call(clinic.entities.GetLegalEntity, missing))).reason == "LEGAL_ENTITY_NOT_FOUND"


async def test_a_site_is_read_back_as_it_was_registered_and_told_of_with_one_line_of_address(clinic: Clinic) -> None:
    request = clinic.site_request(
        "bld",
        opening_hours=[*hours(8, 18), *hours(20, 2, ["SATURDAY"])],
        closed_dates=[{"year": 2027, "month": 7, "day": 5}],
    )
    created = (await clinic.svc.call(clinic.sites.CreateSite, request)).site
    assert list(created.opening_hours) == list(request.opening_hours)
    assert (created.address, list(created.closed_dates)) == (request.address, list(request.closed_dates))
    got = await clinic.svc.call(clinic.sites.GetSite, sites.GetSiteRequest(site_id=created.id))
    assert got.site == created
    _, event = (await clinic.published())[-1]
    event.ClearField("meta")
    assert event == events_pb2.SiteRegistered(
        site_id=created.id,
        legal_entity_id=clinic.legal_entity_id,
        code="bld",
        display_name="Front Range Ketamine",
        discreet_name="Suite 200",
        time_zone="America/Denver",
        state="CO",
        address="1600 Broadway, Suite 200, Denver, CO 80202",
        phone="+13035550123",
    )


@pytest.mark.parametrize(
    ("changes", "code", "reason", "field"),
    [
        ({"code": "den"}, "FAILED_PRECONDITION", "SITE_CODE_TAKEN", None),
        ({"legal_entity_id": to_wire("legalentity", new_id())}, "NOT_FOUND", "LEGAL_ENTITY_NOT_FOUND", None),
        ({"discreet_name": "Ketamine of Denver"}, "INVALID_ARGUMENT", "DISCREET_NAME_REFUSED", "discreet_name"),
        ({"time_zone": "America/Nowhere"}, "INVALID_ARGUMENT", "TIME_ZONE_UNKNOWN", "time_zone"),
        ({"state": "XX"}, "INVALID_ARGUMENT", "STATE_UNKNOWN", "state"),
        ({"phone": "303-555-0123"}, "INVALID_ARGUMENT", "PHONE_INVALID", "phone"),
        (
            {"opening_hours": hours(8, 12, ["MONDAY"]) + hours(11, 18, ["MONDAY"])},
            "INVALID_ARGUMENT",
            "HOURS_INVALID",
            "opening_hours[1]",
        ),
        (
            {"closed_dates": [{"year": 2027, "month": 2, "day": 29}]},
            "INVALID_ARGUMENT",
            "BAD_REQUEST",
            "closed_dates[0]",
        ),
        ({"opening_hours": []}, "INVALID_ARGUMENT", "BAD_REQUEST", "opening_hours"),
    ],
)
async def test_a_site_that_breaks_a_rule_is_refused_by_name(
    clinic: Clinic, changes: dict[str, Any], code: str, reason: str, field: str | None
) -> None:
    fields = {"code": "bld"} | changes
    refused = await refusal(clinic.svc.call(clinic.sites.CreateSite, clinic.site_request(**fields)))
    assert (refused.code, refused.reason) == (StatusCode[code], reason)
    assert [path for path, _ in refused.faults] == ([field] if field else [])
    assert await clinic.count("site") == 1


async def test_sites_are_listed_by_code_in_pages_and_only_the_chains_own(clinic: Clinic) -> None:
    for code in ("zzz", "abq"):
        await clinic.add_site(code)
    first = await clinic.svc.call(clinic.sites.ListSites, sites.ListSitesRequest(page_size=2))
    rest = sites.ListSitesRequest(page_size=2, page_token=first.next_page_token)
    second = await clinic.svc.call(clinic.sites.ListSites, rest)
    assert [each.code for page in (first, second) for each in page.sites] == ["abq", "den", "zzz"]
    stranger = clinic.svc.token(chain_id=new_id())
    assert not (await clinic.svc.call(clinic.sites.ListSites, sites.ListSitesRequest(), stranger)).sites
    refused = await refusal(
        clinic.svc.call(clinic.sites.GetSite, sites.GetSiteRequest(site_id=clinic.site_id), stranger)
    )
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "SITE_NOT_FOUND")


async def test_a_resource_is_read_back_as_it_was_registered_and_told_of(clinic: Clinic) -> None:
    request = clinic.resource_request(
        "STAFF",
        "Nurse 3",
        capabilities=["infusion"],
        lane_count=2,
        working_hours=hours(22, 6, ["MONDAY"]),
        time_off=[
            {"interval": {"start_time": "2027-03-02T16:00:00Z", "end_time": "2027-03-02T18:00:00Z"}},
            {
                "dates": {
                    "first_date": {"year": 2027, "month": 7, "day": 1},
                    "last_date": {"year": 2027, "month": 7, "day": 14},
                }
            },
        ],
        credential="RN",
        npi=NPI,
    )
    created = (await clinic.svc.call(clinic.resources.CreateResource, request)).resource
    assert list(created.working_hours) == list(request.working_hours)
    assert list(created.time_off) == list(request.time_off)
    got = await clinic.svc.call(clinic.resources.GetResource, resources.GetResourceRequest(resource_id=created.id))
    assert got.resource == created
    _, event = (await clinic.published())[-1]
    event.ClearField("meta")
    assert event == events_pb2.ResourceRegistered(
        resource_id=created.id,
        site_id=clinic.site_id,
        kind=RESOURCE_KIND_STAFF,
        display_name="Nurse 3",
        credential="RN",
        npi=NPI,
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"npi": "1234567890"}, "NPI_INVALID"),
        ({"of": "ROOM", "npi": NPI}, "CREDENTIAL_NOT_OF_STAFF"),
        ({"working_hours": [{"day": "MONDAY", "start_time": {"hours": 25}, "end_time": {}}]}, "HOURS_INVALID"),
        (
            {"time_off": [{"interval": {"start_time": "2027-03-02T16:00:00Z", "end_time": "2027-03-02T16:00:00Z"}}]},
            "HOURS_INVALID",
        ),
        ({"lane_count": 0}, "BAD_REQUEST"),
    ],
)
async def test_a_resource_that_breaks_a_rule_is_refused_by_name(
    clinic: Clinic, changes: dict[str, Any], reason: str
) -> None:
    before = await clinic.count("resource")
    request = clinic.resource_request(changes.pop("of", "STAFF"), "Nurse 3", **changes)
    refused = await refusal(clinic.svc.call(clinic.resources.CreateResource, request))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, reason)
    assert await clinic.count("resource") == before


async def test_a_resource_of_no_site_is_refused(clinic: Clinic) -> None:
    request = clinic.resource_request("ROOM", "Room", site_id=to_wire("site", new_id()))
    assert (await refusal(clinic.svc.call(clinic.resources.CreateResource, request))).reason == "SITE_NOT_FOUND"


async def test_resources_are_listed_by_site_and_seen_by_its_staff_only(clinic: Clinic) -> None:
    other = await clinic.add_site("bld")
    room = await clinic.add_resource("ROOM", "Elsewhere", site_id=other)
    of_site = resources.ListResourcesRequest(site_id=clinic.site_id, page_size=3)
    first = await clinic.svc.call(clinic.resources.ListResources, of_site, clinic.token())
    of_site.page_token = first.next_page_token
    second = await clinic.svc.call(clinic.resources.ListResources, of_site, clinic.token())
    listed = [each.id for page in (first, second) for each in page.resources]
    assert listed == [*clinic.rooms, *clinic.nurses, clinic.prescriber]
    get = resources.GetResourceRequest(resource_id=room)
    refused = await refusal(clinic.svc.call(clinic.resources.GetResource, get, clinic.token()))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")


async def test_versions_of_a_protocol_are_counted_and_read_back_as_they_were_published(clinic: Clinic) -> None:
    request = clinic.publish_request(TEMPLATE)
    second = (await clinic.svc.call(clinic.protocols.PublishProtocolVersion, request)).protocol_version
    assert (second.version, second.protocol_id, second.template) == (2, clinic.protocol_id, request.template)
    get = protocols.GetProtocolVersionRequest(protocol_version_id=second.id)
    assert (await clinic.svc.call(clinic.protocols.GetProtocolVersion, get)).protocol_version == second
    [listed] = (await clinic.svc.call(clinic.protocols.ListProtocols, protocols.ListProtocolsRequest())).protocols
    assert (listed.code, listed.latest_version_id, listed.latest_version) == ("iv_six", second.id, 2)
    subject, event = (await clinic.published())[-1]
    assert subject == "scheduling.v1.protocol_version.published"
    assert (event.protocol_code, event.version, event.template) == ("iv_six", 2, request.template)


async def test_a_protocol_without_a_version_is_listed_without_one(clinic: Clinic) -> None:
    await clinic.add_protocol("abc")
    listed = (
        await clinic.svc.call(clinic.protocols.ListProtocols, protocols.ListProtocolsRequest(page_size=1))
    ).protocols
    assert [(each.code, each.latest_version_id, each.latest_version) for each in listed] == [("abc", "", 0)]


async def test_a_template_that_does_not_fit_together_is_refused_with_the_path(clinic: Clinic) -> None:
    template = deepcopy(dict(TEMPLATE))
    template["phases"][1] |= {"visit_type_code": "drip", "gap_days_max": 1}
    refused = await refusal(clinic.svc.call(clinic.protocols.PublishProtocolVersion, clinic.publish_request(template)))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "PROTOCOL_TEMPLATE_INVALID")
    assert [field for field, _ in refused.faults] == [
        "template.phases[1].visit_type_code",
        "template.phases[1].gap_days_preferred",
    ]
    template = deepcopy(dict(TEMPLATE))
    template["visit_types"][1]["segments"][0]["minutes"] = 0
    refused = await refusal(clinic.svc.call(clinic.protocols.PublishProtocolVersion, clinic.publish_request(template)))
    assert (refused.reason, [field for field, _ in refused.faults]) == (
        "BAD_REQUEST",
        ["template.visit_types[1].segments[0].minutes"],
    )
    assert await clinic.count("protocol_version") == 1


async def test_protocols_that_clash_or_are_missing_are_refused_by_name(clinic: Clinic) -> None:
    taken = await refusal(clinic.add_protocol("iv_six"))
    assert (taken.code, taken.reason) == (StatusCode.FAILED_PRECONDITION, "PROTOCOL_CODE_TAKEN")
    request = clinic.publish_request(TEMPLATE)
    request.protocol_id = to_wire("protocol", new_id())
    refused = await refusal(clinic.svc.call(clinic.protocols.PublishProtocolVersion, request))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PROTOCOL_NOT_FOUND")
    get = protocols.GetProtocolVersionRequest(protocol_version_id=to_wire("protocolversion", new_id()))
    assert (
        await refusal(clinic.svc.call(clinic.protocols.GetProtocolVersion, get))
    ).reason == "PROTOCOL_VERSION_NOT_FOUND"


async def test_a_published_version_can_never_be_changed(clinic: Clinic) -> None:
    for statement in ("UPDATE protocol_version SET version = 9", "DELETE FROM protocol_version"):
        async with clinic.svc.db.transaction(clinic.svc.inside("Tamper")) as conn:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(statement)
            await conn.execute("ROLLBACK; BEGIN")


async def test_a_version_kept_in_memory_is_not_shown_to_another_chain(clinic: Clinic) -> None:
    get = protocols.GetProtocolVersionRequest(protocol_version_id=clinic.version_id)
    await clinic.svc.call(clinic.protocols.GetProtocolVersion, get)
    stranger = clinic.svc.token(chain_id=new_id())
    refused = await refusal(clinic.svc.call(clinic.protocols.GetProtocolVersion, get, stranger))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "PROTOCOL_VERSION_NOT_FOUND")


async def test_a_version_adopted_again_is_told_of_once(clinic: Clinic) -> None:
    await clinic.adopt()
    told = [event for subject, event in await clinic.published() if subject == "scheduling.v1.protocol_version.adopted"]
    assert [(event.site_id, event.protocol_version_id) for event in told] == [(clinic.site_id, clinic.version_id)]


@pytest.mark.parametrize(
    ("field", "kind", "reason"),
    [
        ("site_id", "site", "SITE_NOT_FOUND"),
        ("protocol_version_id", "protocolversion", "PROTOCOL_VERSION_NOT_FOUND"),
    ],
)
async def test_only_what_exists_is_adopted(clinic: Clinic, field: str, kind: str, reason: str) -> None:
    request = protocols.AdoptProtocolVersionRequest(
        request_id=str(uuid4()), site_id=clinic.site_id, protocol_version_id=clinic.version_id
    )
    setattr(request, field, to_wire(kind, new_id()))
    refused = await refusal(clinic.svc.call(clinic.protocols.AdoptProtocolVersion, request))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, reason)


@pytest.mark.parametrize("role", ["ROLE_FRONT_DESK", "ROLE_BILLING", "ROLE_AUDITOR"])
async def test_who_does_not_run_the_chain_registers_nothing(clinic: Clinic, role: str) -> None:
    token = clinic.svc.token(role)
    for method, request in (
        (clinic.sites.CreateSite, clinic.site_request("bld")),
        (clinic.resources.CreateResource, clinic.resource_request("ROOM", "Room")),
        (clinic.protocols.PublishProtocolVersion, clinic.publish_request(TEMPLATE)),
    ):
        assert (await refusal(clinic.svc.call(method, request, token))).code is StatusCode.PERMISSION_DENIED


async def test_a_manager_registers_resources_of_their_own_site_only(clinic: Clinic) -> None:
    other = await clinic.add_site("bld")
    token = clinic.token("ROLE_SITE_MANAGER")
    await clinic.svc.call(clinic.resources.CreateResource, clinic.resource_request("ROOM", "Room"), token)
    elsewhere = clinic.resource_request("ROOM", "Room", site_id=other)
    assert (
        await refusal(clinic.svc.call(clinic.resources.CreateResource, elsewhere, token))
    ).code is StatusCode.PERMISSION_DENIED
