"""Messages to commands and back, by noun. No rules, no SQL."""

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor

from atoll.patients.v1 import (
    clearance_service_pb2,
    export_service_pb2,
    patient_change_service_pb2,
    patient_service_pb2,
    patient_site_service_pb2,
    screening_service_pb2,
)
from chassis.db import Database
from services.patients.rpc.changes import PatientChangeServicer
from services.patients.rpc.clearances import ClearanceServicer, ScreeningServicer
from services.patients.rpc.exports import ExportServicer
from services.patients.rpc.patient_sites import PatientSiteServicer
from services.patients.rpc.patients import PatientServicer


def servicers(db: Database) -> Mapping[ServiceDescriptor, object]:
    return {
        patient_service_pb2.DESCRIPTOR.services_by_name["PatientService"]: PatientServicer(db),
        screening_service_pb2.DESCRIPTOR.services_by_name["ScreeningService"]: ScreeningServicer(db),
        clearance_service_pb2.DESCRIPTOR.services_by_name["ClearanceService"]: ClearanceServicer(db),
        patient_change_service_pb2.DESCRIPTOR.services_by_name["PatientChangeService"]: PatientChangeServicer(db),
        patient_site_service_pb2.DESCRIPTOR.services_by_name["PatientSiteService"]: PatientSiteServicer(db),
        export_service_pb2.DESCRIPTOR.services_by_name["ExportService"]: ExportServicer(db),
    }
