"""All SQL of patients, by noun: statements, compiled once, and stores that turn rows into domain objects."""

from collections.abc import Mapping
from typing import ClassVar

from chassis.errors import DomainError
from chassis.etags import StaleEtag
from services.patients.domain.break_glass import GlassBreakReviewed
from services.patients.domain.consents import ConsentAlreadyGiven, ConsentNotStanding
from services.patients.domain.diagnoses import DiagnosisRecorded
from services.patients.domain.documents import ConsentDocumentNotFound, ConsentDocumentTaken
from services.patients.domain.duplicates import DuplicateOfSame
from services.patients.domain.merges import MergeOfSame, PatientMerged
from services.patients.domain.patient_sites import PatientSiteThere
from services.patients.domain.patients import IdentifierTaken, MrnTaken, PatientNotFound
from services.patients.domain.questionnaires import QuestionnaireCodeTaken
from services.patients.store.accesses import AccessStore
from services.patients.store.adverse_events import AdverseEventStore
from services.patients.store.break_glass import BreakGlassStore
from services.patients.store.changes import ChangeStore
from services.patients.store.clearances import ClearanceStore
from services.patients.store.consents import ConsentStore
from services.patients.store.diagnoses import DiagnosisStore
from services.patients.store.documents import DocumentStore
from services.patients.store.duplicates import DuplicateStore
from services.patients.store.exports import ExportStore
from services.patients.store.measures import MeasureStore
from services.patients.store.merges import MergeStore
from services.patients.store.patient_sites import PatientSiteStore
from services.patients.store.permissions import PermissionStore
from services.patients.store.questionnaires import QuestionnaireStore
from services.patients.store.recalls import RecallStore
from services.patients.store.records import RecordStore
from services.patients.store.retention import RetentionStore
from services.patients.store.screenings import ScreeningStore
from services.patients.store.search import SearchStore


class PatientsStore(
    RecordStore,
    SearchStore,
    ClearanceStore,
    MeasureStore,
    AdverseEventStore,
    DiagnosisStore,
    ChangeStore,
    PatientSiteStore,
    DocumentStore,
    ConsentStore,
    RecallStore,
    PermissionStore,
    ScreeningStore,
    QuestionnaireStore,
    ExportStore,
    BreakGlassStore,
    AccessStore,
    RetentionStore,
    MergeStore,
    DuplicateStore,
):
    subject_kind = "patient"
    refusals: ClassVar[Mapping[str, type[DomainError]]] = {
        "patient_chain_id_mrn_key": MrnTaken,
        "patient_identifier_pkey": IdentifierTaken,
        "screening_chain_id_patient_id_site_id_fkey": PatientNotFound,
        "screening_review_chain_id_patient_id_site_id_fkey": PatientNotFound,
        "clearance_chain_id_patient_id_site_id_fkey": PatientNotFound,
        "measure_chain_id_patient_id_site_id_fkey": PatientNotFound,
        "adverse_event_chain_id_patient_id_site_id_fkey": PatientNotFound,
        "diagnosis_chain_id_patient_id_site_id_fkey": PatientNotFound,
        "diagnosis_standing_key": DiagnosisRecorded,
        "patient_site_pkey": PatientSiteThere,
        "patient_change_pkey": StaleEtag,
        "consent_document_chain_id_code_state_key": ConsentDocumentTaken,
        "consent_chain_id_patient_id_site_id_fkey": PatientNotFound,
        "consent_chain_id_patient_id_document_id_sequence_key": ConsentAlreadyGiven,
        "consent_withdrawal_chain_id_patient_id_site_id_fkey": PatientNotFound,
        "consent_withdrawal_pkey": ConsentNotStanding,
        "permission_chain_id_patient_id_site_id_fkey": PatientNotFound,
        "permission_chain_id_version_id_fkey": ConsentDocumentNotFound,
        "questionnaire_chain_id_code_key": QuestionnaireCodeTaken,
        "break_glass_chain_id_patient_id_fkey": PatientNotFound,
        "glass_review_pkey": GlassBreakReviewed,
        "written_if": PatientNotFound,
        "patient_survivor_stands": PatientMerged,
        "patient_merge_standing_key": PatientMerged,
        "patient_survivor_check": MergeOfSame,
        "duplicate_pair_two_check": DuplicateOfSame,
    }
