"""Wiring: `python -m services.billing serve | migrate`."""

from chassis.service import Service, main
from services.billing import consumers
from services.billing.jobs import end_packages
from services.billing.rpc import servicers
from services.billing.store import BillingStore

SERVICE = Service(
    name="billing", store_type=BillingStore, servicers=servicers, reads=consumers.READS, jobs=(end_packages,)
)

if __name__ == "__main__":
    main(SERVICE)
