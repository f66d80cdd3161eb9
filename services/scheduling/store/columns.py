"""Values that several tables keep in one column, as JSON."""

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from services.scheduling.domain.hours import Days, Off, Shift, Slot


def shifts_column(shifts: Sequence[Shift]) -> str:
    return json.dumps([(shift.weekday, shift.start, shift.end) for shift in shifts])


def shifts_of(data: Sequence[Sequence[int]]) -> tuple[Shift, ...]:
    return tuple(Shift(*each) for each in data)


def offs_column(offs: Sequence[Off]) -> str:
    return json.dumps([_off(off) for off in offs])


def offs_of(data: Sequence[dict[str, str]]) -> tuple[Off, ...]:
    return tuple(
        Days(date.fromisoformat(each["first"]), date.fromisoformat(each["last"]))
        if "first" in each
        else Slot(datetime.fromisoformat(each["start"]), datetime.fromisoformat(each["end"]))
        for each in data
    )


def _off(off: Off) -> dict[str, Any]:
    if isinstance(off, Days):
        return {"first": off.first.isoformat(), "last": off.last.isoformat()}
    return {"start": off.start.isoformat(), "end": off.end.isoformat()}
