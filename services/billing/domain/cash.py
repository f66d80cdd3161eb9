"""Cash: a site's drawer, counted once a day."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.money import Money
from services.billing.domain.ledger import Account, Entry, Source, move


class CashCounted(DomainError):
    kind, reason, message = Kind.CONFLICT, "CASH_COUNTED", "the site's cash of that day was counted before"


class CashDayToCome(DomainError):
    kind, reason, message = Kind.INVALID, "CASH_DAY_TO_COME", "the day is not here yet"


@dataclass(frozen=True, slots=True)
class CashCount:
    id: UUID
    site_id: UUID
    business_date: date
    expected: Money
    counted: Money
    note: str
    actor: str
    counted_at: datetime

    @property
    def over(self) -> Money:
        return self.counted - self.expected

    def entry(self) -> Entry | None:
        """None where it is right."""
        if not self.over.minor:
            return None
        return move(Source.CASH_COUNT, self.id, Account.CASH, Account.CASH_OVER_SHORT, self.over)


def check_day(day: date, today: date) -> None:
    if day > today:
        raise CashDayToCome(Violation("date", CashDayToCome.reason, CashDayToCome.message))


def drawer(site_id: UUID) -> UUID:
    """What is locked while a site's cash is counted or changes: not the site itself, for which others wait."""
    return UUID(int=site_id.int ^ 1)
