"""Messages to commands and back, by noun. No rules, no SQL."""

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor

from atoll.patients.v1 import (
    access_service_pb2,
    adverse_event_service_pb2,
    audit_service_pb2,
    break_glass_service_pb2,
    clearance_service_pb2,
    consent_document_service_pb2,
    consent_service_pb2,
    diagnosis_service_pb2,
    duplicate_service_pb2,
    export_service_pb2,
    measure_service_pb2,
    merge_service_pb2,
    patient_change_service_pb2,
    patient_service_pb2,
    patient_site_service_pb2,
    permission_service_pb2,
    questionnaire_service_pb2,
    retention_service_pb2,
    screening_service_pb2,
)
from chassis.db import Database
from chassis.trail import AuditServicer
from services.patients.rpc.accesses import AccessServicer
from services.patients.rpc.adverse_events import AdverseEventServicer
from services.patients.rpc.break_glass import BreakGlassServicer
from services.patients.rpc.changes import PatientChangeServicer
from services.patients.rpc.clearances import ClearanceServicer
from services.patients.rpc.consents import ConsentServicer
from services.patients.rpc.diagnoses import DiagnosisServicer
from services.patients.rpc.documents import ConsentDocumentServicer
from services.patients.rpc.duplicates import DuplicateServicer
from services.patients.rpc.exports import ExportServicer
from services.patients.rpc.measures import MeasureServicer
from services.patients.rpc.merges import MergeServicer
from services.patients.rpc.patient_sites import PatientSiteServicer
from services.patients.rpc.patients import PatientServicer
from services.patients.rpc.permissions import PermissionServicer
from services.patients.rpc.questionnaires import QuestionnaireServicer
from services.patients.rpc.retention import RetentionServicer
from services.patients.rpc.screenings import ScreeningServicer
from services.patients.store import PatientsStore


def servicers(db: Database) -> Mapping[ServiceDescriptor, object]:
    audit = audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"]
    return {
        audit: AuditServicer(db, PatientsStore, audit),
        patient_service_pb2.DESCRIPTOR.services_by_name["PatientService"]: PatientServicer(db),
        screening_service_pb2.DESCRIPTOR.services_by_name["ScreeningService"]: ScreeningServicer(db),
        clearance_service_pb2.DESCRIPTOR.services_by_name["ClearanceService"]: ClearanceServicer(db),
        access_service_pb2.DESCRIPTOR.services_by_name["AccessService"]: AccessServicer(db),
        adverse_event_service_pb2.DESCRIPTOR.services_by_name["AdverseEventService"]: AdverseEventServicer(db),
        break_glass_service_pb2.DESCRIPTOR.services_by_name["BreakGlassService"]: BreakGlassServicer(db),
        patient_change_service_pb2.DESCRIPTOR.services_by_name["PatientChangeService"]: PatientChangeServicer(db),
        consent_service_pb2.DESCRIPTOR.services_by_name["ConsentService"]: ConsentServicer(db),
        diagnosis_service_pb2.DESCRIPTOR.services_by_name["DiagnosisService"]: DiagnosisServicer(db),
        consent_document_service_pb2.DESCRIPTOR.services_by_name["ConsentDocumentService"]: ConsentDocumentServicer(db),
        export_service_pb2.DESCRIPTOR.services_by_name["ExportService"]: ExportServicer(db),
        measure_service_pb2.DESCRIPTOR.services_by_name["MeasureService"]: MeasureServicer(db),
        patient_site_service_pb2.DESCRIPTOR.services_by_name["PatientSiteService"]: PatientSiteServicer(db),
        permission_service_pb2.DESCRIPTOR.services_by_name["PermissionService"]: PermissionServicer(db),
        questionnaire_service_pb2.DESCRIPTOR.services_by_name["QuestionnaireService"]: QuestionnaireServicer(db),
        retention_service_pb2.DESCRIPTOR.services_by_name["RetentionService"]: RetentionServicer(db),
        merge_service_pb2.DESCRIPTOR.services_by_name["MergeService"]: MergeServicer(db),
        duplicate_service_pb2.DESCRIPTOR.services_by_name["DuplicateService"]: DuplicateServicer(db),
    }
