"""What a chain says of its messages: when they may reach people, how many texts, what one costs. Pure."""

import re
from dataclasses import dataclass
from datetime import time

from chassis.errors import DomainError, Kind, Violation
from services.notifications.domain.caps import COURTESY, Cap
from services.notifications.domain.discretion import health_words
from services.notifications.domain.hours import HOURS, SendingHours

EARLIEST, LATEST = time(8), time(21)
"""Hours in which anybody may be called at all: 47 CFR 64.1200(c)(1)."""
TEXTS_A_DAY_MAX, TEXTS_A_WEEK_MAX = 10, 50
BASE_URL = re.compile(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(/[a-z0-9-]+)*/")


class PolicyRefused(DomainError):
    kind, reason, message = Kind.INVALID, "POLICY_REFUSED", "the policy cannot be kept"


@dataclass(frozen=True, slots=True)
class ChainPolicy:
    hours: SendingHours
    courtesy: Cap
    text_price_micros: int
    """Of one segment of a text, in millionths of a dollar: for the cost of an announcement."""
    link_base_url: str
    """Of the chain's own site, to which links in messages lead. Empty: messages carry none."""
    version: int
    digest: time | None = None
    """When the day's digest goes out; None: there is none."""


SHIPPED_POLICY = ChainPolicy(HOURS, COURTESY, 8_300, "", 0)


def check_policy(policy: ChainPolicy) -> None:
    faults = list[tuple[str, str]]()
    hours, cap = policy.hours, policy.courtesy
    if not EARLIEST <= hours.begin < hours.end <= LATEST:
        faults.append(("begin_time", "hours are between 08:00 and 21:00, and end after they begin"))
    if not 1 <= cap.a_day <= TEXTS_A_DAY_MAX:
        faults.append(("texts_a_day", f"is not between 1 and {TEXTS_A_DAY_MAX}"))
    if not cap.a_day <= cap.a_week <= TEXTS_A_WEEK_MAX:
        faults.append(("texts_a_week", f"is not between those of a day and {TEXTS_A_WEEK_MAX}"))
    if policy.link_base_url and not BASE_URL.fullmatch(policy.link_base_url):
        faults.append(("link_base_url", "is no https address that ends in a slash"))
    if policy.digest and not hours.begin <= policy.digest < hours.end:
        faults.append(("digest_time", "is not within the hours"))
    if health_words(re.sub(r"[^a-z]", " ", policy.link_base_url.lower())):
        faults.append(("link_base_url", "holds a health word"))
    if faults:
        raise PolicyRefused(*(Violation(field, "POLICY_REFUSED", rule) for field, rule in faults))
