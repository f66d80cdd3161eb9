"""What is left to pay on an invoice, as events tell it in whatever order. Pure."""

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid5

from services.notifications.domain.matters import Matter

GRACE = timedelta(days=1)
"""How long after an invoice owes again nobody is reminded: a payment that was keyed in wrong is reversed, and keyed in
again."""


@dataclass(frozen=True, slots=True)
class Balance:
    """As an event has it, or as it is known."""

    invoice_id: UUID
    version: int
    """Counts the changes of what is left to pay. 0: of before that was told; then whoever has paid has paid."""
    matter_id: UUID | None
    """That asks for what is left. None: nothing is."""
    void: bool = False
    """Nothing is left of the invoice, and never will be."""

    def replaces(self, known: "Balance | None") -> bool:
        if known is None or self.void or known.void:
            return known is None or not known.void
        return self.version > known.version or (self.version == 0 and self.matter_id is None)


def asking(invoice: Matter, version: int) -> Matter:
    """Each time that an invoice comes to owe is a matter of its own, so that each is reminded of once, whatever became
    of the one before."""
    return replace(invoice, id=uuid5(invoice.id, str(version)))
