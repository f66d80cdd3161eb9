"""One function per event that patients reads. No ack, no dedup, no retry: the chassis does that."""

from collections.abc import Sequence

from atoll.notifications.v1.events_pb2 import ChannelOptedIn, ChannelOptedOut
from atoll.scheduling.v1.events_pb2 import SiteRegistered, VisitCompleted
from chassis.consumer import Reads, Together
from chassis.ids import from_wire
from chassis.times import to_instant
from services.patients.domain.permissions import Channel, Giver, PermissionMethod
from services.patients.store import PatientsStore
from services.patients.use_cases.permissions import OptIn, OptOut, record_opt_in, record_opt_out


async def keep_site(store: PatientsStore, event: SiteRegistered) -> None:
    await store.keep_site(from_wire("site", event.site_id), event.time_zone, event.state)


async def keep_visits(store: PatientsStore, events: Sequence[VisitCompleted]) -> None:
    """How long a record is kept is reckoned from the last contact with the patient."""
    await store.keep_visits([(from_wire("patient", event.patient_id), to_instant(event.end_time)) for event in events])


async def opt_out(store: PatientsStore, event: ChannelOptedOut) -> None:
    """Of an address that nobody is known by there is nothing to keep."""
    if event.patient_id:
        said = OptOut(
            patient_id=from_wire("patient", event.patient_id),
            channel=Channel(event.channel),
            giver=Giver(event.giver),
            told_at=to_instant(event.meta.occur_time),
            method=PermissionMethod(event.method),
        )
        await record_opt_out(store, said)


async def opt_in(store: PatientsStore, event: ChannelOptedIn) -> None:
    if event.patient_id:
        said = OptIn(
            patient_id=from_wire("patient", event.patient_id),
            channel=Channel(event.channel),
            giver=Giver(event.giver),
            told_at=to_instant(event.meta.occur_time),
            method=PermissionMethod(event.method),
        )
        await record_opt_in(store, said)


READS: dict[str, Reads] = {
    "SCHEDULING": {SiteRegistered: keep_site, VisitCompleted: Together(keep_visits)},
    "NOTIFICATIONS": {ChannelOptedOut: opt_out, ChannelOptedIn: opt_in},
}
