"""JSON lines on standard error. A line names ids, reasons, codes and times: never a message, a name or a contact."""

import logging
import sys

import structlog


def configure_logs(service: str) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_without_locals()),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


def _without_locals() -> structlog.tracebacks.ExceptionDictTransformer:
    """Variables would hold patients' data."""
    return structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
