"""Fields that only staff may see, wherever in an answer they stand."""

from atoll.common.v1.access_pb2 import staff_only
from atoll.scheduling.v1.gate_pb2 import GateState
from atoll.scheduling.v1.gate_service_pb2 import ListGatesResponse
from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate, Requirement, VisitType
from atoll.scheduling.v1.protocol_service_pb2 import GetProtocolVersionResponse, ProtocolVersion
from atoll.scheduling.v1.site_service_pb2 import GetSiteResponse, Site
from chassis.hidden import for_patient
from tests.contract.found import rpcs


def test_what_is_for_staff_only_is_left_out_however_deep_it_stands() -> None:
    visit_type = VisitType(code="talk", requirements=[Requirement(key="prescriber", capability="prescriber")])
    version = ProtocolVersion(id="v", retire_reason="too long", template=ProtocolTemplate(visit_types=[visit_type]))
    shown = for_patient(GetProtocolVersionResponse(protocol_version=version)).protocol_version
    assert (shown.id, shown.retire_reason) == ("v", "")
    [requirement] = shown.template.visit_types[0].requirements
    assert (requirement.key, requirement.capability) == ("prescriber", "")


def test_each_of_several_is_looked_at() -> None:
    answer = ListGatesResponse(gates=[GateState(recorded_by="ana"), GateState(recorded_by="ben", passed=True)])
    assert [(each.recorded_by, each.passed) for each in for_patient(answer).gates] == [("", False), ("", True)]


def test_an_answer_without_such_fields_stays_as_it_is() -> None:
    assert for_patient(GetSiteResponse(site=Site(id="s", etag="1"))) == GetSiteResponse(site=Site(id="s", etag="1"))


def test_no_request_asks_for_an_id_that_is_for_staff_only() -> None:
    """It would be one that a patient cannot name."""
    hidden = [f for each in rpcs() for f in each.input_type.fields if f.GetOptions().Extensions[staff_only]]
    assert hidden == []
