"""Whom a message may reach, and where: what patients knows at the moment of sending, forgotten after it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.notifications.domain.kinds import Channel, Purpose, Recipient

UNRANKED = 1000


class Use(StrEnum):
    """Of a contact point: see ContactUse of patients."""

    ANY = "ANY"
    HOME = "HOME"
    WORK = "WORK"
    MOBILE = "MOBILE"
    TEMPORARY = "TEMPORARY"


@dataclass(frozen=True, slots=True)
class Point:
    """An address of email, or a number (E.164)."""

    is_phone: bool
    value: str
    use: Use
    rank: int


@dataclass(frozen=True, slots=True)
class Permission:
    """What holds for a channel and a purpose; of contact points of one use, or of ANY."""

    channel: Channel
    purpose: Purpose
    use: Use
    permitted: bool


@dataclass(frozen=True, slots=True)
class Related:
    """A guarantor or an escort, as far as messages go to them."""

    recipient: Recipient
    phone: str
    email: str


@dataclass(frozen=True, slots=True)
class Contact:
    given_name: str
    language: str
    deceased: bool
    points: tuple[Point, ...] = ()
    permissions: tuple[Permission, ...] = ()
    related: tuple[Related, ...] = ()
    may_name_treatment: bool = False
    minor: bool = False
    """Under age, as patients reckons it at this moment."""
    confidential: bool = False
    """The patient asked to be reached at `points` and nowhere else."""

    @property
    def spoken_for(self) -> bool:
        """What the patient would be told is told to the guarantor."""
        return self.minor and not self.confidential

    @property
    def has_guarantor(self) -> bool:
        """Who can be reached by what messages travel by."""
        return any(each.recipient is Recipient.PAYER and (each.email or each.phone) for each in self.related)

    def said(self, channel: Channel, purpose: Purpose, use: Use = Use.ANY) -> bool | None:
        """Yes or no, as it was said last: of points of this use, else of all. None: nobody spoke of it."""
        found = {
            each.use: each.permitted for each in self.permissions if (each.channel, each.purpose) == (channel, purpose)
        }
        return found.get(use, found.get(Use.ANY))

    def addresses(self, channel: Channel, recipient: Recipient) -> list[Point]:
        """Where the channel reaches the recipient, the best first. Of a mobile number texts are read first."""
        if recipient is Recipient.COMPANION:
            return self._of_related(channel, Recipient.COMPANION)
        if self.spoken_for or (recipient is Recipient.PAYER and self.has_guarantor):
            return self._of_related(channel, Recipient.PAYER)
        phone = channel is not Channel.EMAIL
        usable = [point for point in self.points if point.is_phone is phone]
        return sorted(usable, key=lambda point: (phone and point.use is not Use.MOBILE, point.rank or UNRANKED))

    def _of_related(self, channel: Channel, recipient: Recipient) -> list[Point]:
        found: Sequence[Related] = [each for each in self.related if each.recipient is recipient]
        values = [each.email if channel is Channel.EMAIL else each.phone for each in found]
        return [Point(channel is not Channel.EMAIL, value, Use.ANY, 1) for value in values if value]


def may(contact: Contact, channel: Channel, purpose: Purpose, use: Use) -> bool:
    """Email and the inbox reach whoever did not refuse; texts and calls about visits too (the health-care exemption of
    47 CFR 64.1200), those about bills only whom permitted them; a companion only by both their words."""
    said = contact.said(channel, purpose, use)
    if purpose is Purpose.REPLY:
        return True
    if purpose is Purpose.COMPANION or (purpose is Purpose.BILLING and channel in {Channel.SMS, Channel.VOICE}):
        return said is True
    return said is not False
