"""All SQL of patients, by noun: statements, compiled once, and stores that turn rows into domain objects."""

from collections.abc import Mapping
from typing import ClassVar

from chassis.errors import DomainError
from services.patients.domain.clearances import ScreeningNotFound
from services.patients.domain.consents import ConsentAlreadyGiven, ConsentNotStanding
from services.patients.domain.documents import ConsentDocumentNotFound, ConsentDocumentTaken
from services.patients.domain.patients import IdentifierTaken, MrnTaken, PatientNotFound
from services.patients.store.clearances import ClearanceStore
from services.patients.store.consents import ConsentStore
from services.patients.store.documents import DocumentStore
from services.patients.store.permissions import PermissionStore
from services.patients.store.records import RecordStore
from services.patients.store.search import SearchStore


class PatientsStore(RecordStore, SearchStore, ClearanceStore, DocumentStore, ConsentStore, PermissionStore):
    refusals: ClassVar[Mapping[str, type[DomainError]]] = {
        "patient_chain_id_mrn_key": MrnTaken,
        "patient_identifier_pkey": IdentifierTaken,
        "screening_chain_id_patient_id_site_id_fkey": PatientNotFound,
        "clearance_chain_id_patient_id_site_id_fkey": PatientNotFound,
        "clearance_chain_id_patient_id_screening_id_fkey": ScreeningNotFound,
        "consent_document_chain_id_code_state_key": ConsentDocumentTaken,
        "consent_chain_id_patient_id_site_id_fkey": PatientNotFound,
        "consent_chain_id_patient_id_document_id_sequence_key": ConsentAlreadyGiven,
        "consent_withdrawal_chain_id_patient_id_site_id_fkey": PatientNotFound,
        "consent_withdrawal_pkey": ConsentNotStanding,
        "permission_chain_id_patient_id_site_id_fkey": PatientNotFound,
        "permission_chain_id_version_id_fkey": ConsentDocumentNotFound,
    }
