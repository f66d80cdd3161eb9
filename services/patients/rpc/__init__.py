"""Messages to commands and back, by noun. No rules, no SQL."""

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor

from atoll.patients.v1 import (
    clearance_service_pb2,
    consent_document_service_pb2,
    consent_service_pb2,
    patient_service_pb2,
    permission_service_pb2,
    screening_service_pb2,
)
from chassis.db import Database
from services.patients.rpc.clearances import ClearanceServicer, ScreeningServicer
from services.patients.rpc.consents import ConsentServicer
from services.patients.rpc.documents import ConsentDocumentServicer
from services.patients.rpc.patients import PatientServicer
from services.patients.rpc.permissions import PermissionServicer


def servicers(db: Database) -> Mapping[ServiceDescriptor, object]:
    return {
        patient_service_pb2.DESCRIPTOR.services_by_name["PatientService"]: PatientServicer(db),
        screening_service_pb2.DESCRIPTOR.services_by_name["ScreeningService"]: ScreeningServicer(db),
        clearance_service_pb2.DESCRIPTOR.services_by_name["ClearanceService"]: ClearanceServicer(db),
        consent_document_service_pb2.DESCRIPTOR.services_by_name["ConsentDocumentService"]: ConsentDocumentServicer(db),
        consent_service_pb2.DESCRIPTOR.services_by_name["ConsentService"]: ConsentServicer(db),
        permission_service_pb2.DESCRIPTOR.services_by_name["PermissionService"]: PermissionServicer(db),
    }
