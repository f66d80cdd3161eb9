"""A record as resources of FHIR R4. What a record holds more of is a line in `resources_of`."""

from collections.abc import Iterator

from atoll.patients.v1.export_service_pb2 import PatientExport
from cli.exporting.adverse_events import adverse_event_resource
from cli.exporting.clearances import clearance_resource
from cli.exporting.consents import consent_resource, permission_resource
from cli.exporting.diagnoses import diagnosis_resource
from cli.exporting.elements import Resource
from cli.exporting.measures import measure_resource
from cli.exporting.patients import patient_resource
from cli.exporting.safety_flags import safety_flag_resource
from cli.exporting.screenings import screening_resource

TYPES = ("Patient", "QuestionnaireResponse", "Basic", "Consent", "Observation", "AdverseEvent", "Condition", "Flag")
"""Types that an export of a chain has a file for, whether or not it holds any."""


def resources_of(part: PatientExport) -> Iterator[Resource]:
    if part.HasField("patient"):
        yield patient_resource(part.patient)
    yield from map(patient_resource, part.merged_patients)
    yield from map(screening_resource, part.screenings)
    yield from map(clearance_resource, part.clearances)
    yield from map(consent_resource, part.consents)
    yield from map(permission_resource, part.permissions)
    yield from map(measure_resource, part.measures)
    yield from map(safety_flag_resource, part.safety_flags)
    yield from map(adverse_event_resource, part.adverse_events)
    yield from map(diagnosis_resource, part.diagnoses)
