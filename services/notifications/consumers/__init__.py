"""One function per event that notifications reads. No ack, no dedup, no retry: the chassis does that."""

from collections.abc import Mapping

from chassis.consumer import Reads
from services.notifications.consumers import bills, consents, copies, offers, visits

READS: Mapping[str, Reads] = {
    "SCHEDULING": {**copies.OF_SCHEDULING, **visits.READS, **offers.READS},
    "PATIENTS": {**copies.OF_PATIENTS, **consents.READS},
    "BILLING": bills.READS,
}
