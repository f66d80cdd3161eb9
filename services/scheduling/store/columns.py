"""Values that several tables keep in one column, as JSON."""

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from services.scheduling.domain.hours import DateHours, Days, Off, Rotation, Shift, Slot
from services.scheduling.domain.resources import Credential, WorkingShift


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


def dated_column(dated: Sequence[DateHours]) -> str:
    return json.dumps([(each.day.isoformat(), each.stretches) for each in dated])


def dated_of(data: Sequence[tuple[str, Sequence[tuple[int, int]]]]) -> tuple[DateHours, ...]:
    return tuple(
        DateHours(date.fromisoformat(day), tuple((start, end) for start, end in stretches)) for day, stretches in data
    )


def working_shifts_column(shifts: Sequence[WorkingShift]) -> str:
    return json.dumps([_working_shift(each) for each in shifts])


def working_shifts_of(data: Sequence[dict[str, Any]]) -> tuple[WorkingShift, ...]:
    return tuple(
        WorkingShift(
            UUID(each["site_id"]),
            Rotation(
                Shift(*each["shift"]),
                each["every_weeks"],
                *(date.fromisoformat(each[name]) for name in ("anchor", "first", "last")),
            ),
        )
        for each in data
    )


def credentials_column(credentials: Sequence[Credential]) -> str:
    return json.dumps([_credential(each) for each in credentials])


def credentials_of(data: Sequence[dict[str, Any]]) -> tuple[Credential, ...]:
    return tuple(
        Credential(
            each["code"],
            each["licence_number"],
            frozenset(each["states"]),
            date.fromisoformat(each["effective"]),
            date.fromisoformat(each["expire"]),
        )
        for each in data
    )


def _working_shift(each: WorkingShift) -> dict[str, Any]:
    rotation = each.rotation
    days = {name: getattr(rotation, name).isoformat() for name in ("anchor", "first", "last")}
    shift = (rotation.shift.weekday, rotation.shift.start, rotation.shift.end)
    return {"site_id": str(each.site_id), "shift": shift, "every_weeks": rotation.every_weeks, **days}


def _credential(each: Credential) -> dict[str, Any]:
    days = {name: getattr(each, name).isoformat() for name in ("effective", "expire")}
    return {"code": each.code, "licence_number": each.licence_number, "states": sorted(each.states), **days}


def _off(off: Off) -> dict[str, Any]:
    if isinstance(off, Days):
        return {"first": off.first.isoformat(), "last": off.last.isoformat()}
    return {"start": off.start.isoformat(), "end": off.end.isoformat()}
