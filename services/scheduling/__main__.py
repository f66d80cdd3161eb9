"""Wiring: `python -m services.scheduling serve | migrate`."""

from chassis.service import Service, main
from services.scheduling.consumers import READS
from services.scheduling.jobs import end_holds, offer_times
from services.scheduling.rpc import servicers
from services.scheduling.store import SchedulingStore
from services.scheduling.tables import site_change, vital_signs

SERVICE = Service(
    name="scheduling",
    store_type=SchedulingStore,
    servicers=servicers,
    reads=READS,
    jobs=(end_holds, offer_times),
    short_lived=[site_change, vital_signs],
)

if __name__ == "__main__":
    main(SERVICE)
