"""Events of consent documents: who is to sign anew is asked to, until it is done."""

from uuid import UUID

from atoll.patients.v1.events_pb2 import ConsentDocumentRetired, ConsentOutdated, ConsentSigned, ConsentWithdrawn
from chassis.consumer import Reads
from chassis.ids import from_wire
from chassis.times import to_instant
from services.notifications.domain.renewals import Ending, Renewal
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import renewals


async def keep_outdated(store: NotificationsStore, event: ConsentOutdated) -> None:
    renewal = Renewal(
        from_wire("patient", event.patient_id),
        from_wire("consentdocument", event.consent_document_id),
        from_wire("consentdocumentversion", event.consent_document_version_id),
        event.version_number,
        tuple(from_wire("site", site_id) for site_id in event.site_ids),
        to_instant(event.meta.occur_time),
    )
    await renewals.keep_renewal(store, renewal, UUID(event.meta.event_id))


async def end_outdated(store: NotificationsStore, event: ConsentSigned | ConsentWithdrawn) -> None:
    ending = Ending(
        from_wire("patient", event.patient_id),
        from_wire("consentdocument", event.consent_document_id),
        event.version_number,
        to_instant(event.meta.occur_time),
    )
    await renewals.end_renewal(store, ending, UUID(event.meta.event_id))


async def end_document(store: NotificationsStore, event: ConsentDocumentRetired) -> None:
    await renewals.end_document(store, from_wire("consentdocument", event.consent_document_id))


READS: Reads = {
    ConsentOutdated: keep_outdated,
    ConsentSigned: end_outdated,
    ConsentWithdrawn: end_outdated,
    ConsentDocumentRetired: end_document,
}
