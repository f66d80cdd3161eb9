"""Resume tokens on the wire: up to where a site's changes were read."""

import base64
import hashlib
import json
from datetime import timedelta
from uuid import UUID

from chassis.errors import Violation
from chassis.feed import Position
from chassis.times import EPOCH
from services.scheduling.domain.changes import Mark, ResumeTokenInvalid

SECOND = timedelta(seconds=1)


def mark_to_wire(chain_id: UUID, site_id: UUID, mark: Mark) -> str:
    parts = [_of(chain_id, site_id), mark.database, *mark.position, (mark.read_at - EPOCH) // SECOND]
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode()


def mark_from_wire(chain_id: UUID, site_id: UUID, token: str) -> Mark:
    try:
        of, database, transaction, place, seconds = json.loads(base64.urlsafe_b64decode(token))
        numbers = transaction, place, seconds
        if of != _of(chain_id, site_id) or not isinstance(database, str) or not all(map(_is_number, numbers)):
            raise ValueError(token)
        return Mark(database, Position(transaction, place), EPOCH + seconds * SECOND)
    except (ValueError, TypeError, OverflowError):
        violation = Violation("resume_token", "RESUME_TOKEN_INVALID", ResumeTokenInvalid.message)
        raise ResumeTokenInvalid(violation) from None


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _of(chain_id: UUID, site_id: UUID) -> str:
    return hashlib.sha256(chain_id.bytes + site_id.bytes).hexdigest()[:16]
