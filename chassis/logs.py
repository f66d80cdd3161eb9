"""JSON lines on standard error. A line names ids, reasons, codes and times: never a message, a name or a contact.

What an exception says may be anything: PostgreSQL quotes the row that met a constraint, a parser the text that it could
not read. So a trace tells where it happened and of which class it is, and no more.
"""

import json
import logging
import sys
import traceback
from types import TracebackType
from typing import Any, cast

import asyncpg
import structlog
from structlog.typing import EventDict, WrappedLogger

_encode = json.JSONEncoder(default=repr).encode
"""Made once: `json.dumps` makes an encoder for each line that names a default, and a call leaves a line."""


def configure_logs(service: str) -> None:
    def line(logger: WrappedLogger, name: str, event: EventDict) -> str:
        return _encode({**event, "service": service})

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(where_it_happened),
            line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


TELLING = (AssertionError, AttributeError, TypeError, OSError)
"""What these say is about the program or the machine."""


def where_it_happened(exc_info: tuple[type[BaseException], BaseException, TracebackType | None]) -> Any:
    """The exception and those that led to it, the last one first."""
    found, error = list[dict[str, Any]](), cast("BaseException | None", exc_info[1])
    while error is not None:
        found.append(_described(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return found


def _described(error: BaseException) -> dict[str, Any]:
    frames = traceback.extract_tb(error.__traceback__)
    described: dict[str, Any] = {
        "type": type(error).__name__,
        "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    if isinstance(error, asyncpg.PostgresError):
        described |= {"sqlstate": error.sqlstate, "constraint": getattr(error, "constraint_name", None)}
    elif isinstance(error, TELLING):
        described["says"] = str(error)
    return described
