"""All SQL of patients, by noun: statements, compiled once, and stores that turn rows into domain objects."""

from collections.abc import Mapping
from typing import ClassVar

from chassis.errors import DomainError
from services.patients.domain.break_glass import GlassBreakReviewed
from services.patients.domain.clearances import ScreeningNotFound
from services.patients.domain.patient_sites import PatientSiteThere
from services.patients.domain.patients import IdentifierTaken, MrnTaken, PatientNotFound
from services.patients.store.accesses import AccessStore
from services.patients.store.break_glass import BreakGlassStore
from services.patients.store.changes import ChangeStore
from services.patients.store.clearances import ClearanceStore
from services.patients.store.patient_sites import PatientSiteStore
from services.patients.store.records import RecordStore
from services.patients.store.retention import RetentionStore
from services.patients.store.search import SearchStore


class PatientsStore(
    RecordStore,
    SearchStore,
    ClearanceStore,
    ChangeStore,
    PatientSiteStore,
    BreakGlassStore,
    AccessStore,
    RetentionStore,
):
    subject_kind = "patient"
    refusals: ClassVar[Mapping[str, type[DomainError]]] = {
        "patient_chain_id_mrn_key": MrnTaken,
        "patient_identifier_pkey": IdentifierTaken,
        "screening_chain_id_patient_id_site_id_fkey": PatientNotFound,
        "clearance_chain_id_patient_id_site_id_fkey": PatientNotFound,
        "clearance_chain_id_patient_id_screening_id_fkey": ScreeningNotFound,
        "break_glass_chain_id_patient_id_fkey": PatientNotFound,
        "glass_review_pkey": GlassBreakReviewed,
        "patient_site_pkey": PatientSiteThere,
        "written_if": PatientNotFound,
    }
