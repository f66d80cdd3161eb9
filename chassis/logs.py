"""JSON lines on standard error. A line names ids, reasons, codes and times: never a message, a name or a contact.

What an exception says may be anything: PostgreSQL quotes the row that met a constraint, a parser the text that it could
not read. So a trace tells where it happened and of which class it is, and no more. What is said by exceptions of which
only the program and the machine speak is masked where it looks like a secret or like a way to reach somebody. The same
goes for what libraries log, of which the template is kept without its arguments, and for what ends a process.
"""

import asyncio
import json
import logging
import re
import sys
import threading
import traceback
from types import TracebackType
from typing import Any, cast

import asyncpg
import structlog
from structlog.typing import EventDict, WrappedLogger

_encode = json.JSONEncoder(default=repr).encode
"""Made once: `json.dumps` makes an encoder for each line that names a default, and a call leaves a line."""


SECRETS = re.compile(
    r"(?P<url>\b[a-z][a-z0-9+.-]*://)[^\s/@]+@"  # What stands before the host in a URL.
    r"|\b(?:Bearer|Basic)\s+\S+"
    r"|\beyJ[\w-]+\.[\w-]*\.[\w-]*"  # A token.
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|(?<![\w.:-])\+?\(?\d{1,4}\)?(?:[ .-]?\(?\d{2,4}\)?){2,4}(?![\w.:-])",  # A phone number.
    re.IGNORECASE,
)
SAID_MAX = 500


def masked(text: str) -> str:
    return SECRETS.sub(lambda found: f"{found['url'] or ''}***", text[:SAID_MAX])


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


def configure_process(service: str) -> None:
    """The same, and for what libraries and Python itself would write."""
    configure_logs(service)
    logging.basicConfig(handlers=[_OfLibraries()], level=logging.WARNING, force=True)
    sys.excepthook = lambda *exc_info: log.critical("crashed", exc_info=exc_info)
    threading.excepthook = lambda args: log.critical(
        "thread.crashed", exc_info=(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
    )


class _OfLibraries(logging.Handler):
    """A line for each record, with the template of its text: its arguments may be anything."""

    def emit(self, record: logging.LogRecord) -> None:
        exc_info = record.exc_info if record.exc_info and record.exc_info[0] else None
        level = min(record.levelno, logging.CRITICAL)
        log.log(level, "library", logger=record.name, template=masked(str(record.msg)), exc_info=exc_info)


def log_of_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What asyncio tells of by itself, such as a task whose error nobody asked for: it would write the task out whole,
    its error with it."""
    log.error("loop.trouble", says=masked(str(context.get("message", ""))), exc_info=context.get("exception"))


log = structlog.get_logger()

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
        described["says"] = masked(str(error))
    return described
