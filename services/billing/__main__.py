"""Wiring: `python -m services.billing serve | migrate`."""

from chassis.service import Service, main
from services.billing import consumers
from services.billing.jobs import end_packages, tell_overdue_estimates
from services.billing.printing.writer import write_documents
from services.billing.processor.job import ask_processors
from services.billing.rpc import servicers
from services.billing.settings import BillingSettings
from services.billing.store import BillingStore

SERVICE = Service(
    name="billing",
    store_type=BillingStore,
    servicers=servicers,
    reads=consumers.READS,
    jobs=(write_documents, tell_overdue_estimates, end_packages, ask_processors),
    settings_type=BillingSettings,
)

if __name__ == "__main__":
    main(SERVICE)
