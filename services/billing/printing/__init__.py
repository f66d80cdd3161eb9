"""Documents as PDF: a typst template for each kind, and what it shows as one JSON object."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from chassis.money import MINOR_DIGITS, Money

TEMPLATES = Path(__file__).parent
NOBODY: Mapping[str, Any] = {"name": "", "birth_date": "", "diagnoses": []}
"""Stands in for the patient until the document is written."""


def pdf(template: str, content: Mapping[str, Any], at: datetime) -> bytes:
    """`template` is the stem of a file beside this one; it reads `json(bytes(sys.inputs.content))`.

    The same content and instant give the same bytes. Some tenths of a second: never on the event loop.
    """
    made: bytes = _compiler()(TEMPLATES / f"{template}.typ", dumps(content), at)
    return made


def dumps(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, sort_keys=True)


def day_text(day: date) -> str:
    """ "March 1, 2027" """
    return f"{day:%B} {day.day}, {day.year}"


def money_text(money: Money) -> str:
    """ "$1,180.00" """
    units, rest = divmod(abs(money.minor), 10 ** MINOR_DIGITS[money.currency])
    return f"{'-' if money.minor < 0 else ''}${units:,}.{rest:02}"


@cache
def _compiler() -> Any:
    """Loaded when first used: the compiler and its fonts weigh some 80 MB."""
    import typst

    def compiled(template: Path, content: str, at: datetime) -> bytes:
        made = typst.compile(
            template,
            root=TEMPLATES,
            sys_inputs={"content": content},
            ignore_system_fonts=True,
            timestamp=int(at.timestamp()),
        )
        assert isinstance(made, bytes)
        return made

    return compiled
