"""Wiring: `python -m services.billing serve | migrate`."""

from chassis.service import Service, main
from services.billing import consumers
from services.billing.jobs import end_packages
from services.billing.processor.job import ask_processors
from services.billing.rpc import servicers
from services.billing.store import BillingStore

SERVICE = Service(
    name="billing",
    store_type=BillingStore,
    servicers=servicers,
    reads=consumers.READS,
    jobs=(end_packages, ask_processors),
)

if __name__ == "__main__":
    main(SERVICE)
