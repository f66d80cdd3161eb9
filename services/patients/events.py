"""Domain objects as the facts that other services read. Ids, zone and language only: who a patient is stays here."""

from uuid import UUID

from atoll.patients.v1.events_pb2 import (
    ClearanceGranted,
    ClearanceRevoked,
    GlassBroken,
    PatientAnonymised,
    PatientRegistered,
    PatientSiteAdded,
    PatientSiteRemoved,
    PatientUpdated,
    ScreeningRecorded,
)
from chassis.ids import to_wire
from chassis.times import to_date, to_timestamp
from services.patients.domain.break_glass import GlassBreak
from services.patients.domain.clearances import Clearance, Screening
from services.patients.domain.patients import Patient


def patient_registered(patient: Patient) -> PatientRegistered:
    return PatientRegistered(
        patient_id=to_wire("patient", patient.id),
        home_site_id=to_wire("site", patient.home_site_id),
        time_zone=patient.person.time_zone,
        language=patient.person.language,
    )


def patient_updated(patient: Patient) -> PatientUpdated:
    return PatientUpdated(
        patient_id=to_wire("patient", patient.id),
        home_site_id=to_wire("site", patient.home_site_id),
        time_zone=patient.person.time_zone,
        language=patient.person.language,
    )


def screening_recorded(screening: Screening) -> ScreeningRecorded:
    return ScreeningRecorded(
        screening_id=to_wire("screening", screening.id),
        patient_id=to_wire("patient", screening.patient_id),
        protocol_id=to_wire("protocol", screening.protocol_id),
        site_id=to_wire("site", screening.site_id),
    )


def clearance_granted(clearance: Clearance) -> ClearanceGranted:
    return ClearanceGranted(
        clearance_id=to_wire("clearance", clearance.id),
        patient_id=to_wire("patient", clearance.patient_id),
        protocol_id=to_wire("protocol", clearance.protocol_id),
        site_id=to_wire("site", clearance.site_id),
        route_codes=clearance.route_codes,
        effective_date=to_date(clearance.effective_date),
        expire_date=to_date(clearance.expire_date),
    )


def clearance_revoked(clearance: Clearance) -> ClearanceRevoked:
    return ClearanceRevoked(
        clearance_id=to_wire("clearance", clearance.id),
        patient_id=to_wire("patient", clearance.patient_id),
        protocol_id=to_wire("protocol", clearance.protocol_id),
        site_id=to_wire("site", clearance.site_id),
    )


def glass_broken(glass: GlassBreak) -> GlassBroken:
    return GlassBroken(
        glass_break_id=to_wire("glass", glass.id),
        patient_id=to_wire("patient", glass.patient_id),
        site_id=to_wire("site", glass.site_id),
        expire_time=to_timestamp(glass.expire_at),
    )


def patient_site_added(patient_id: UUID, site_id: UUID) -> PatientSiteAdded:
    return PatientSiteAdded(patient_id=to_wire("patient", patient_id), site_id=to_wire("site", site_id))


def patient_site_removed(patient_id: UUID, site_id: UUID) -> PatientSiteRemoved:
    return PatientSiteRemoved(patient_id=to_wire("patient", patient_id), site_id=to_wire("site", site_id))


def patient_anonymised(patient_id: UUID) -> PatientAnonymised:
    return PatientAnonymised(patient_id=to_wire("patient", patient_id))
