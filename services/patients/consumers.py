"""One function per event that patients reads. No ack, no dedup, no retry: the chassis does that."""

from atoll.scheduling.v1.events_pb2 import SiteRegistered
from chassis.consumer import Reads
from chassis.ids import from_wire
from services.patients.store import PatientsStore


async def keep_site(store: PatientsStore, event: SiteRegistered) -> None:
    await store.keep_site(from_wire("site", event.site_id), event.time_zone, event.state)


READS: dict[str, Reads] = {"SCHEDULING": {SiteRegistered: keep_site}}
