"""The chain's register of capabilities, through the gRPC door."""

from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import ParseDict
from grpc import StatusCode

from atoll.scheduling.v1 import capability_service_pb2 as pb
from atoll.scheduling.v1 import protocol_service_pb2 as protocols
from atoll.scheduling.v1 import resource_service_pb2 as resources
from atoll.scheduling.v1.capability_service_pb2_grpc import CapabilityServiceStub
from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate
from chassis.ids import new_id
from cli.sample.chain import capability_codes, protocol_files, site_files
from tests.support.scheduling import TEMPLATE, Clinic, open_clinic, open_scheduling
from tests.support.service import Running, refusal


@pytest_asyncio.fixture(scope="module")
async def svc(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Running]:
    async with open_scheduling(postgres_url, issuer_folder) as svc:
        yield svc


@pytest_asyncio.fixture
async def clinic(svc: Running) -> Clinic:
    return await open_clinic(svc)


def creating(code: str) -> pb.CreateCapabilityRequest:
    return pb.CreateCapabilityRequest(request_id=str(uuid4()), code=code, display_name=code.capitalize())


async def register(clinic: Clinic, *codes: str, token: str | None = None) -> None:
    stub: Any = clinic.svc.stub(CapabilityServiceStub)
    for code in codes:
        await clinic.svc.call(stub.CreateCapability, creating(code), token)


async def listed(clinic: Clinic, token: str | None = None) -> list[str]:
    stub: Any = clinic.svc.stub(CapabilityServiceStub)
    request, codes = pb.ListCapabilitiesRequest(page_size=1), list[str]()
    while True:
        page = await clinic.svc.call(stub.ListCapabilities, request, token)
        codes += [each.code for each in page.capabilities]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return codes


async def test_capabilities_are_registered_once_and_listed_by_code(clinic: Clinic) -> None:
    stub: Any = clinic.svc.stub(CapabilityServiceStub)
    request = creating("prescriber")
    created = (await clinic.svc.call(stub.CreateCapability, request)).capability
    assert created == pb.Capability(code="prescriber", display_name="Prescriber")
    assert (await clinic.svc.call(stub.CreateCapability, request)).capability == created
    await register(clinic, "infusion")
    assert await listed(clinic, clinic.token("ROLE_NURSE")) == ["infusion", "prescriber"]
    refused = await refusal(register(clinic, "infusion"))
    assert (refused.code, refused.reason) == (StatusCode.FAILED_PRECONDITION, "CAPABILITY_EXISTS")
    assert await listed(clinic, clinic.svc.token(chain_id=new_id())) == []
    manager = await refusal(register(clinic, "nasal", token=clinic.token("ROLE_SITE_MANAGER")))
    assert manager.code is StatusCode.PERMISSION_DENIED
    assert await clinic.count("capability") == 2


async def test_until_a_chain_has_registered_one_any_is_taken(clinic: Clinic) -> None:
    await clinic.add_resource("STAFF", "Nurse", capabilities=["whatever"])
    await clinic.publish(TEMPLATE)


async def test_a_resource_names_registered_capabilities_only(clinic: Clinic) -> None:
    await register(clinic, "infusion")
    before = await clinic.count("resource")
    request = clinic.resource_request("STAFF", "Nurse", capabilities=["infusion", "infusoin"])
    refused = await refusal(clinic.svc.call(clinic.resources.CreateResource, request))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "CAPABILITY_UNKNOWN")
    assert refused.faults == [("capabilities", "CAPABILITY_UNKNOWN")]
    update = resources.UpdateResourceRequest(
        request_id=str(uuid4()),
        resource=resources.Resource(id=clinic.nurses[0], etag='"1"', capabilities=["infusoin"]),
        update_mask=FieldMask(paths=["capabilities"]),
    )
    refused = await refusal(clinic.svc.call(clinic.resources.UpdateResource, update))
    assert refused.faults == [("resource.capabilities", "CAPABILITY_UNKNOWN")]
    assert await clinic.count("resource") == before
    update.resource.display_name = "The doctor"  # Whose own was not registered: that does not hinder other changes.
    update.resource.id, update.request_id = clinic.prescriber, str(uuid4())
    update.update_mask.CopyFrom(FieldMask(paths=["display_name"]))
    await clinic.svc.call(clinic.resources.UpdateResource, update)


async def test_a_version_asks_for_registered_capabilities_only(clinic: Clinic) -> None:
    await register(clinic, "infusion")
    refused = await refusal(clinic.publish(TEMPLATE))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "CAPABILITY_UNKNOWN")
    assert refused.faults == [("template.visit_types[0].requirements[0].capability", "CAPABILITY_UNKNOWN")]
    assert await clinic.count("protocol_version") == 1
    await register(clinic, "prescriber")
    await clinic.publish(deepcopy(dict(TEMPLATE)))


async def test_a_draft_names_unregistered_capabilities_beside_its_other_faults_until_they_are_registered(
    clinic: Clinic,
) -> None:
    await register(clinic, "infusion")
    wanted = deepcopy(dict(TEMPLATE))
    wanted["phases"][1]["visits_default"] = 9
    save = protocols.SaveProtocolDraftRequest(
        request_id=str(uuid4()), protocol_id=clinic.protocol_id, template=ParseDict(wanted, ProtocolTemplate())
    )
    get = protocols.GetProtocolDraftRequest(protocol_id=clinic.protocol_id)
    saved = (await clinic.svc.call(clinic.protocols.SaveProtocolDraft, save)).protocol_draft
    unknown = ("template.visit_types[0].requirements[0].capability", "CAPABILITY_UNKNOWN")
    assert [(fault.field, fault.rule) for fault in saved.faults] == [
        ("template.phases[1].visits_default", "OUT_OF_BOUNDS"),
        unknown,
    ]
    assert (await clinic.svc.call(clinic.protocols.GetProtocolDraft, get)).protocol_draft == saved
    await register(clinic, "prescriber")
    again = (await clinic.svc.call(clinic.protocols.GetProtocolDraft, get)).protocol_draft
    assert [fault.rule for fault in again.faults] == ["OUT_OF_BOUNDS"]


async def test_a_preview_of_a_template_with_unregistered_capabilities_is_refused_as_its_publishing(
    clinic: Clinic,
) -> None:
    await register(clinic, "infusion")
    template = ParseDict(deepcopy(dict(TEMPLATE)), ProtocolTemplate())
    request = protocols.PreviewProtocolVersionRequest(protocol_id=clinic.protocol_id, template=template)
    refused = await refusal(clinic.svc.call(clinic.protocols.PreviewProtocolVersion, request))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "CAPABILITY_UNKNOWN")
    assert refused.faults == [("template.visit_types[0].requirements[0].capability", "CAPABILITY_UNKNOWN")]
    await register(clinic, "prescriber")
    await clinic.svc.call(clinic.protocols.PreviewProtocolVersion, request)


async def test_a_sites_form_of_a_version_adds_registered_capabilities_only(clinic: Clinic) -> None:
    """What the version itself asks for it cannot leave out, though it was not registered."""
    await register(clinic, "infusion")
    narrowed = deepcopy(dict(TEMPLATE))
    narrowed["visit_types"][1]["requirements"][1]["capability"] = "reclinre"

    async def adopt() -> None:
        request = protocols.AdoptProtocolVersionRequest(
            request_id=str(uuid4()),
            site_id=clinic.site_id,
            protocol_version_id=clinic.version_id,
            narrowed_template=ParseDict(narrowed, ProtocolTemplate()),
        )
        await clinic.svc.call(clinic.protocols.AdoptProtocolVersion, request)

    refused = await refusal(adopt())
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "CAPABILITY_UNKNOWN")
    field = "narrowed_template.visit_types[1].requirements[1].capability"
    assert refused.faults == [(field, "CAPABILITY_UNKNOWN")]
    await register(clinic, "recliner")
    narrowed["visit_types"][1]["requirements"][1]["capability"] = "recliner"
    await adopt()


def test_the_sample_chain_registers_whatever_its_sites_and_protocols_name() -> None:
    codes = capability_codes(site_files().values(), protocol_files().values())
    assert codes == ["infusion_pump", "nurse", "office", "prescriber", "private", "rems", "therapist", "treatment"]
