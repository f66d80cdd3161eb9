"""Messages to commands and back, by noun. No rules, no SQL."""

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor

from atoll.patients.v1 import (
    access_service_pb2,
    break_glass_service_pb2,
    clearance_service_pb2,
    patient_change_service_pb2,
    patient_service_pb2,
    patient_site_service_pb2,
    retention_service_pb2,
    screening_service_pb2,
)
from chassis.db import Database
from services.patients.rpc.accesses import AccessServicer
from services.patients.rpc.break_glass import BreakGlassServicer
from services.patients.rpc.changes import PatientChangeServicer
from services.patients.rpc.clearances import ClearanceServicer, ScreeningServicer
from services.patients.rpc.patient_sites import PatientSiteServicer
from services.patients.rpc.patients import PatientServicer
from services.patients.rpc.retention import RetentionServicer


def servicers(db: Database) -> Mapping[ServiceDescriptor, object]:
    return {
        patient_service_pb2.DESCRIPTOR.services_by_name["PatientService"]: PatientServicer(db),
        screening_service_pb2.DESCRIPTOR.services_by_name["ScreeningService"]: ScreeningServicer(db),
        clearance_service_pb2.DESCRIPTOR.services_by_name["ClearanceService"]: ClearanceServicer(db),
        access_service_pb2.DESCRIPTOR.services_by_name["AccessService"]: AccessServicer(db),
        break_glass_service_pb2.DESCRIPTOR.services_by_name["BreakGlassService"]: BreakGlassServicer(db),
        patient_change_service_pb2.DESCRIPTOR.services_by_name["PatientChangeService"]: PatientChangeServicer(db),
        patient_site_service_pb2.DESCRIPTOR.services_by_name["PatientSiteService"]: PatientSiteServicer(db),
        retention_service_pb2.DESCRIPTOR.services_by_name["RetentionService"]: RetentionServicer(db),
    }
