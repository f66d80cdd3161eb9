"""One function per event that notifications reads. No ack, no dedup, no retry: the chassis does that."""

from collections.abc import Mapping, Sequence
from uuid import UUID
from zoneinfo import ZoneInfo

from atoll.patients.v1.events_pb2 import PatientMerged, PatientRegistered, PatientUnmerged, PatientUpdated
from atoll.scheduling.v1.events_pb2 import CourseBooked, SiteRegistered, SiteUpdated, VisitCancelled, VisitMissed
from chassis.consumer import Reads, Together
from chassis.ids import from_wire
from chassis.times import to_instant
from services.notifications.domain.visits import Patient, Site, Visit, VisitStatus
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import messages, patients


async def keep_site(store: NotificationsStore, event: SiteRegistered | SiteUpdated) -> None:
    site_id = from_wire("site", event.site_id)
    known = Site(site_id, event.discreet_name, ZoneInfo(event.time_zone), event.address, event.phone)
    await store.keep_site(known, event.meta.aggregate_version)


async def keep_patients(store: NotificationsStore, events: Sequence[PatientRegistered | PatientUpdated]) -> None:
    told = [
        Patient(from_wire("patient", event.patient_id), ZoneInfo(event.time_zone), event.meta.aggregate_version)
        for event in events
    ]
    await patients.keep_patients(store, told)


async def keep_patient(store: NotificationsStore, event: PatientUpdated) -> None:
    await keep_patients(store, [event])


async def merge(store: NotificationsStore, event: PatientMerged) -> None:
    survivor_id = from_wire("patient", event.patient_id)
    await patients.keep_merge(store, patients.KeepMerge(_merged(event), survivor_id, event.meta.aggregate_version))


async def unmerge(store: NotificationsStore, event: PatientUnmerged) -> None:
    await patients.keep_merge(store, patients.KeepMerge(_merged(event), None, event.meta.aggregate_version))


def _merged(event: PatientMerged | PatientUnmerged) -> UUID:
    return from_wire("patient", event.merged_patient_id)


async def plan_messages(store: NotificationsStore, event: CourseBooked) -> None:
    command = messages.PlanMessages(
        site_id=from_wire("site", event.site_id),
        patient_id=from_wire("patient", event.patient_id),
        event_id=UUID(event.meta.event_id),
        visits=tuple(
            Visit(
                id=from_wire("visit", visit.visit_id),
                status=VisitStatus.BOOKED,
                start=to_instant(visit.start_time),
                telehealth=visit.telehealth,
            )
            for visit in event.visits
        ),
    )
    await messages.plan_messages(store, command)


async def cancel_visit(store: NotificationsStore, event: VisitCancelled) -> None:
    await messages.call_off(store, _call_off(event, VisitStatus.CANCELLED))


async def miss_visit(store: NotificationsStore, event: VisitMissed) -> None:
    await messages.call_off(store, _call_off(event, VisitStatus.MISSED))


def _call_off(event: VisitCancelled | VisitMissed, status: VisitStatus) -> messages.CallOff:
    return messages.CallOff(
        visit_id=from_wire("visit", event.visit_id),
        site_id=from_wire("site", event.site_id),
        patient_id=from_wire("patient", event.patient_id),
        status=status,
    )


READS: Mapping[str, Reads] = {
    "SCHEDULING": {
        SiteRegistered: keep_site,
        SiteUpdated: keep_site,
        CourseBooked: plan_messages,
        VisitCancelled: cancel_visit,
        VisitMissed: miss_visit,
    },
    "PATIENTS": {
        PatientRegistered: Together(keep_patients),
        PatientUpdated: keep_patient,
        PatientMerged: merge,
        PatientUnmerged: unmerge,
    },
}
