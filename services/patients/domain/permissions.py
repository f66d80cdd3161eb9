"""By which channel a patient may be told what: facts with a date, of which the one told last holds."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from services.patients.domain.contacts import ContactUse


class PermissionRefused(DomainError):
    kind, reason, message = Kind.INVALID, "PERMISSION_REFUSED", "the permission cannot be"


class Channel(StrEnum):
    EMAIL = "EMAIL"
    SMS = "SMS"
    VOICE = "VOICE"
    POSTAL = "POSTAL"
    PORTAL = "PORTAL"


class Purpose(StrEnum):
    APPOINTMENT = "APPOINTMENT"
    TREATMENT_DETAIL = "TREATMENT_DETAIL"
    BILLING = "BILLING"
    MARKETING = "MARKETING"
    COMPANION = "COMPANION"


class Giver(StrEnum):
    """Who said yes or no."""

    PATIENT = "PATIENT"
    REPRESENTATIVE = "REPRESENTATIVE"
    COMPANION = "COMPANION"


class PermissionMethod(StrEnum):
    ELECTRONIC = "ELECTRONIC"
    PAPER = "PAPER"
    VERBAL = "VERBAL"
    REPLY = "REPLY"


OPTED_OUT_OF = {
    Giver.PATIENT: tuple(purpose for purpose in Purpose if purpose is not Purpose.COMPANION),
    Giver.COMPANION: (Purpose.COMPANION,),
}
"""What somebody who opts out of a channel is no longer told by it. A companion has an address of their own."""


OPTED_INTO = {Giver.PATIENT: (Purpose.APPOINTMENT,), Giver.COMPANION: (Purpose.COMPANION,)}
"""What somebody who opts in again is told by it: what they had refused by the same word, but for purposes that need a
yes of their own (bills, treatment, advertising)."""


@dataclass(frozen=True, slots=True)
class Permission:
    id: UUID
    patient_id: UUID
    site_id: UUID
    channel: Channel
    purpose: Purpose
    use: ContactUse
    permitted: bool
    giver: Giver
    method: PermissionMethod
    told_at: datetime
    wording_code: str
    version_id: UUID | None
    recorded_by: str
    recorded_at: datetime

    def check(self, *, by_patient: bool, told_at_given: bool) -> None:
        """`by_patient`: the patient calls, nobody of the staff."""
        faults = [*self._faults(), *(self._patients_faults(told_at_given) if by_patient else ())]
        if faults:
            raise PermissionRefused(*faults)

    def _faults(self) -> Iterator[Violation]:
        if self.channel is Channel.PORTAL and self.use is not ContactUse.UNSPECIFIED:
            yield Violation("use", "USE_OF_PORTAL", "the portal has no address")
        if self.giver is Giver.COMPANION and self.purpose is not Purpose.COMPANION:
            yield Violation("giver", "GIVER_ONLY_FOR_COMPANION", "a companion speaks of messages to themself only")
        if self.told_at > self.recorded_at:
            yield Violation("tell_time", "TELL_TIME_IN_FUTURE", "is after now")

    def _patients_faults(self, told_at_given: bool) -> Iterator[Violation]:
        if self.giver is not Giver.PATIENT:
            yield Violation("giver", "GIVER_NOT_PATIENT", "what others say, staff record")
        if self.method is not PermissionMethod.ELECTRONIC:
            yield Violation("method", "METHOD_NOT_PATIENTS", "a patient's own call is electronic")
        if told_at_given:
            yield Violation("tell_time", "TELL_TIME_NOT_PATIENTS", "a patient speaks now")


@dataclass(frozen=True, slots=True)
class Present:
    """What holds for a channel, a purpose and the contact points of a use."""

    channel: Channel
    purpose: Purpose
    use: ContactUse
    permitted: bool
    told_at: datetime


@dataclass(frozen=True, slots=True)
class Said:
    """The last word of one side."""

    channel: Channel
    purpose: Purpose
    use: ContactUse
    by_companion: bool
    permitted: bool
    told_at: datetime


def present(last_words: Iterable[Said]) -> list[Present]:
    """Messages to a companion take the word of both sides."""
    words = {(each.channel, each.purpose, each.use, each.by_companion): each for each in last_words}
    found = list[Present]()
    for channel, purpose, use in sorted({key[:3] for key in words}):
        sides = (False, True) if purpose is Purpose.COMPANION else (False,)
        said = [_of_side(words, channel, purpose, use, by_companion=side) for side in sides]
        spoken = [each for each in said if each]
        permitted = len(spoken) == len(sides) and all(each.permitted for each in spoken)
        found.append(Present(channel, purpose, use, permitted, max(each.told_at for each in spoken)))
    return found


def _of_side(
    words: Mapping[tuple[Channel, Purpose, ContactUse, bool], Said],
    channel: Channel,
    purpose: Purpose,
    use: ContactUse,
    *,
    by_companion: bool,
) -> Said | None:
    """What was said of the use, else of all; but who refuses all takes back what they permitted one before."""
    of_use = words.get((channel, purpose, use, by_companion))
    of_all = words.get((channel, purpose, ContactUse.UNSPECIFIED, by_companion))
    if of_use is None or (of_all and not of_all.permitted and of_all.told_at >= of_use.told_at):
        return of_all
    return of_use
