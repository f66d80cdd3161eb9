"""What several nouns have in common on the wire."""

from datetime import date
from typing import Any
from uuid import UUID

from google.type.money_pb2 import Money as WireMoney

from chassis.ids import from_wire
from chassis.money import Money
from chassis.money import to_wire as money_to_wire
from chassis.pages import Page

LAST_ID = UUID(int=2**128 - 1)
FIRST_ID = UUID(int=0)
PREFIXES = {"patient_id": "patient", "course_id": "course", "site_id": "site"}


def some_money(money: Money | None) -> WireMoney | None:
    return None if money is None else money_to_wire(money)


def read_id(kind: str, text: str) -> UUID | None:
    """None where a caller names none."""
    return from_wire(kind, text) if text else None


def about(request: Any) -> tuple[str, UUID]:
    """What a list is about: the one field of `oneof about` that is set, and the id in it."""
    field = request.WhichOneof("about")
    return field, from_wire(PREFIXES[field], getattr(request, field))


def before_id(page: Page) -> UUID:
    """Of a list with the newest first."""
    return UUID(page.after[0]) if page.after else LAST_ID


def before_day(page: Page) -> tuple[date, UUID]:
    """Of a list by day and id, with the latest first."""
    return (date.fromisoformat(page.after[0]), UUID(page.after[1])) if page.after else (date.max, LAST_ID)


def after_id(page: Page) -> UUID:
    """Of a list in the order of time."""
    return UUID(page.after[0]) if page.after else FIRST_ID
