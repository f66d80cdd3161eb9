"""Atoll's API for Python programs: typed, asynchronous, one method for each RPC."""

from atoll.api import billing, notifications, patients, scheduling
from atoll.api.reasons import Reason
from atoll_client.atoll import Atoll
from atoll_client.errors import (
    AtollError,
    Conflict,
    Denied,
    Exhausted,
    InvalidArgument,
    NotFound,
    NotYet,
    OutOfRange,
    ServerFault,
    Stale,
    TooLate,
    TryAgain,
    Unauthenticated,
    Violation,
)
from atoll_client.pages import Pages
from atoll_client.retries import Retry
from atoll_client.tokens import ClientCredentials, TokenSource
from atoll_client.values import (
    from_date,
    from_minor,
    from_timestamp,
    request_id_for,
    to_date,
    to_decimal,
    to_minor,
    to_money,
    to_timestamp,
)

__all__ = [
    "Atoll",
    "AtollError",
    "ClientCredentials",
    "Conflict",
    "Denied",
    "Exhausted",
    "InvalidArgument",
    "NotFound",
    "NotYet",
    "OutOfRange",
    "Pages",
    "Reason",
    "Retry",
    "ServerFault",
    "Stale",
    "TokenSource",
    "TooLate",
    "TryAgain",
    "Unauthenticated",
    "Violation",
    "billing",
    "from_date",
    "from_minor",
    "from_timestamp",
    "notifications",
    "patients",
    "request_id_for",
    "scheduling",
    "to_date",
    "to_decimal",
    "to_minor",
    "to_money",
    "to_timestamp",
]
