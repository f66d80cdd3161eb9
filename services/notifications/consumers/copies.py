"""Events of sites, protocols and patients: what is known of them is kept."""

from collections.abc import Sequence
from uuid import UUID
from zoneinfo import ZoneInfo

from atoll.patients.v1.events_pb2 import PatientMerged, PatientRegistered, PatientUnmerged, PatientUpdated
from atoll.scheduling.v1.events_pb2 import ProtocolVersionPublished, SiteRegistered, SiteUpdated
from chassis.consumer import Reads, Together
from chassis.ids import from_wire
from services.notifications.domain.visits import Patient, Site
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import patients


async def keep_site(store: NotificationsStore, event: SiteRegistered | SiteUpdated) -> None:
    site_id = from_wire("site", event.site_id)
    known = Site(site_id, event.discreet_name, ZoneInfo(event.time_zone), event.address, event.phone)
    await store.keep_site(known, event.meta.aggregate_version)


async def keep_protocol_version(store: NotificationsStore, event: ProtocolVersionPublished) -> None:
    instructions = [
        {
            "code": each.code,
            "text": each.display_name,
            "hours_before": each.hours_before,
            "visit_type_codes": list(each.visit_type_codes),
        }
        for each in event.template.instructions
    ]
    version_id = from_wire("protocolversion", event.protocol_version_id)
    await store.keep_protocol_version(version_id, from_wire("protocol", event.protocol_id), instructions)


async def keep_patients(store: NotificationsStore, events: Sequence[PatientRegistered | PatientUpdated]) -> None:
    told = [
        Patient(from_wire("patient", event.patient_id), ZoneInfo(event.time_zone), event.meta.aggregate_version)
        for event in events
    ]
    await patients.keep_patients(store, told)


async def keep_patient(store: NotificationsStore, event: PatientUpdated) -> None:
    await keep_patients(store, [event])


async def merge(store: NotificationsStore, event: PatientMerged) -> None:
    await patients.keep_merge(store, _merge(event, is_merged=True))


async def unmerge(store: NotificationsStore, event: PatientUnmerged) -> None:
    await patients.keep_merge(store, _merge(event, is_merged=False))


def _merge(event: PatientMerged | PatientUnmerged, *, is_merged: bool) -> patients.KeepMerge:
    ids = from_wire("patient", event.merged_patient_id), from_wire("patient", event.patient_id)
    return patients.KeepMerge(*ids, is_merged, event.meta.aggregate_version, UUID(event.meta.event_id))


OF_SCHEDULING: Reads = {
    SiteRegistered: keep_site,
    SiteUpdated: keep_site,
    ProtocolVersionPublished: keep_protocol_version,
}
OF_PATIENTS: Reads = {
    PatientRegistered: Together(keep_patients),
    PatientUpdated: keep_patient,
    PatientMerged: merge,
    PatientUnmerged: unmerge,
}
