"""W3C trace context: taken from a call or an event, or begun; handed on with calls, events and log lines."""

import re
import secrets

TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent_of(given: str) -> str:
    """The context of a piece of work that `given` led to: the same trace, a span of its own."""
    trace, flags = secrets.token_hex(16), "01"
    if TRACEPARENT.fullmatch(given):
        _, trace, _, flags = given.split("-")
    return f"00-{trace}-{secrets.token_hex(8)}-{flags}"


def trace_id(traceparent: str) -> str:
    return traceparent[3:35]
