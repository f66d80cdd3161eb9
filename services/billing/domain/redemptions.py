"""Visits that were drawn from packages, and what each does to the books of who sold it and who rendered it."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from chassis.errors import DomainError, Kind
from chassis.money import Money
from services.billing.domain.ledger import Account, Booked, Entry, Posting, Source


class RedemptionNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "REDEMPTION_NOT_FOUND", "no such redemption, or it was undone"


class VisitNotRedeemable(DomainError):
    kind, reason = Kind.CONFLICT, "VISIT_NOT_REDEEMABLE"
    message = "the visit is drawn from a package already, or its charge is on an invoice"


@dataclass(frozen=True, slots=True)
class Redemption:
    """A visit that was drawn. It belongs to two sites: one sold it, one rendered it."""

    id: UUID
    sale_id: UUID
    entitlement_id: UUID
    visit_id: UUID
    course_id: UUID
    patient_id: UUID
    site_id: UUID
    legal_entity_id: UUID
    selling_site_id: UUID
    selling_legal_entity_id: UUID
    service_date: date
    item_code: str
    list_price: Money | None  # None: it has no price at the site.
    value: Money
    redeemed_at: datetime
    undone_at: datetime | None = None

    @property
    def is_between_entities(self) -> bool:
        return self.legal_entity_id != self.selling_legal_entity_id


def entries_of(redemption: Redemption, document_id: UUID, value: Money) -> list[Booked]:
    """What `value` of it does to the books; below zero it is taken back. `document_id` is that of the redemption, or of
    its undoing. None for a visit whose share is nothing."""
    if not value.minor:
        return []
    here, seller = redemption.legal_entity_id, redemption.selling_legal_entity_id
    earned = Posting(Account.REVENUE, -value, redemption.item_code)
    if not redemption.is_between_entities:
        postings = Posting(Account.DEFERRED_REVENUE, value), earned
        return [Booked(here, redemption.site_id, Entry(Source.REDEMPTION, document_id, postings))]
    owing = Posting(Account.DEFERRED_REVENUE, value), Posting(Account.DUE_TO, -value, "", here)
    owed = Posting(Account.DUE_FROM, value, "", seller), earned
    return [
        Booked(seller, redemption.selling_site_id, Entry(Source.SETTLEMENT, document_id, owing)),
        Booked(here, redemption.site_id, Entry(Source.SETTLEMENT, document_id, owed)),
    ]
