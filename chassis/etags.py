"""Etags: the version of a row, opaque to callers. An update with a stale one is ABORTED."""

from chassis.errors import DomainError, Kind


class StaleEtag(DomainError):
    kind, reason, message = Kind.STALE, "STALE_ETAG", "it changed since it was read"


def to_etag(version: int) -> str:
    return f'"{version}"'


def from_etag(text: str) -> int:
    """What is no etag of ours is stale: nothing that we handed out matches it."""
    number = text.strip('"')
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise StaleEtag()
    return int(number)
