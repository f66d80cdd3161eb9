"""What keeps a text of a record from being read or written."""

from chassis.errors import DomainError, Kind


class RecordKeysMissing(DomainError):
    """An operator has to bring the file of keys back."""

    kind, reason = Kind.UNAVAILABLE, "RECORD_KEYS_MISSING"
    message = "the service has not the keys that texts of records are kept with"
    retry_after_s = 30.0


class RecordKeyUnknown(RecordKeysMissing):
    """The key of one text: others open."""


class RecordTextRefused(DomainError):
    """Nobody can read it any more, unless an operator finds out what became of it. Names its column."""

    kind, reason = Kind.CONFLICT, "RECORD_TEXT_REFUSED"
    message = "a text of the record does not open: in the database it was changed, or moved from where it was written"
